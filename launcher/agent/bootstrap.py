"""Bringing the Ray cluster up: the head first, then as many of the other nodes as the run needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container
from typing import Any

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.common.in_words import are, several
from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.interfaces import at_port
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.agent.ray_probe import GcsProbe
from curator_slurm.launcher.agent.staged_nodes import note_staged
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.attempt_records import EventLog, NodeState, Outcome
from curator_slurm.launcher.runs.phases import Phase
from curator_slurm.launcher.waiting import Patience

_WATCH_S = 2.0
_LOOK_S = 0.1
_BACK_S = 30.0
"""How long a node may be out of Ray's cluster between two shards."""
_STEP_S = 7.0
"""The most that counts between two looks while nodes are waited for: Ray has some seconds for its answer."""


class AgentProbe:
    """The nodes of a cluster without Ray: those whose agents say that they have joined."""

    def __init__(self, board: NodeBoard) -> None:
        self._board = board

    def alive_nodes(self) -> set[str] | None:
        names = self._board.in_state(NodeState.JOINED)
        return {str(self._board.status(name).get("address")) for name in names}


class Bootstrap:
    """The Ray cluster of a job, as its head node sees it come, and nodes of it go.

    `tell` hands a description of the cluster to the workers; `interrupted` says why to give up, if so.
    """

    def __init__(
        self,
        context: AgentContext,
        node: Node,
        events: EventLog,
        tell: Callable[[dict[str, Any]], None],
        interrupted: Callable[[], Outcome | None],
        board: NodeBoard,
    ) -> None:
        self.context = context
        self.node = node
        self.events = events
        self.joined: set[str] = set()
        self._tell = tell
        self._interrupted = interrupted
        self._board = board
        self._started = time.time()
        self._probe: GcsProbe | AgentProbe | None = None
        self._over = threading.Event()

    def start(self) -> None:
        """Start Ray's head and tell the workers its address: their Ray waits for the head's.

        Without Ray the nodes only gather: the head's agent tells the others' that it is there.

        Raises:
            BootstrapError: this node cannot run Ray.
        """
        self.node.prepare()
        self.events.add("preflight_passed", "checks passed", node=self.context.allocation.node_name)
        if not self.context.plan.spec.cluster.ray:
            self._tell({"address": self.node.address, "versions": self.node.versions, "answers": True})
            self._probe = AgentProbe(self._board)
            return
        ray = self.node.start_ray()
        self._tell(self._cluster(ray.node.gcs_address))
        self._probe = GcsProbe(ray.node.gcs_address, self.context.credentials)

    def wait(self) -> Outcome | None:
        """Until the cluster is there; an outcome where the run has ended before.

        Raises:
            BootstrapError: too few nodes joined.
        """
        assert self._probe is not None
        if isinstance(self._probe, AgentProbe):
            self.joined = {self.node.address}
            self.context.reached(Phase.JOINED)
            self.context.report(NodeState.JOINED, "head of a run without Ray")
            return self._wait_for_nodes(self._probe)
        return self._wait_for_head(self._probe) or self._wait_for_nodes(self._probe)

    @property
    def address(self) -> str:
        """Of Ray; without it, of the head node."""
        return self.node.ray.node.gcs_address if self.node.ray is not None else self.node.address

    def watch(self) -> None:
        """Note nodes that come and go, until `end`: Ray knows. Without it, Slurm alone does, and ends the job."""
        if self.node.ray is None:
            return
        threading.Thread(target=self._watch_nodes, args=(self.address,), daemon=True).start()

    def check_nodes(self) -> None:
        """Look whether there are nodes enough for more work; one whose Ray starts anew has some time for it.

        Without Ray, the agents of nodes say that they are gone, or their shells do.

        Raises:
            BootstrapError: too many were lost since the cluster was ready.
        """
        enough = self._enough
        patience = Patience(_BACK_S if self.node.ray is not None else 0.0, _STEP_S)
        while (left := self._present()) is not None and len(left) < enough:
            if self.context.stop.wait(self._board.pause_s(_LOOK_S)):
                return
            if patience.is_over():
                names = self._names(everybody=True)
                lost = sorted(set(self.context.allocation.nodes) - {names.get(address, "") for address in left})
                raise BootstrapError(
                    FailureClass.NODE_FAILED,
                    f"only {len(left)} of {several(len(self.context.allocation.nodes), 'node')} {are(len(left))} left, "
                    f"and {enough} {are(enough)} needed (cluster.min_nodes); lost: {', '.join(lost)}",
                    "retry the shards that are left; exclude the node (resources.sbatch.exclude) if it is lost again",
                )

    def _present(self) -> set[str] | None:
        """Addresses of the nodes that are in the cluster now; None if unknown."""
        if isinstance(self._probe, AgentProbe):
            self._board.look_at_all()
            return self._probe.alive_nodes()
        return GcsProbe(self.address, self.context.credentials).alive_nodes()

    @property
    def _enough(self) -> int:
        return min(self.context.plan.spec.min_nodes, len(self.context.allocation.nodes))

    def end(self) -> None:
        self._over.set()

    def _wait_for_head(self, probe: GcsProbe) -> Outcome | None:
        """Until Ray's head answers. The workers know its address already: their Ray waits for the head's."""
        assert self.node.ray is not None
        patience = Patience(self.context.plan.spec.cluster.join_timeout_s, _STEP_S)
        while self.node.address not in (probe.alive_nodes() or ()) or not self.node.refuses_strangers():
            early = self._interrupted()
            if early is not None:
                return early
            if self.node.check_ray():
                probe.address = self.node.ray.node.gcs_address
                self._tell(self._cluster(probe.address))
            if patience.is_over():
                raise BootstrapError(
                    FailureClass.BOOTSTRAP_TIMEOUT,
                    f"Ray's head did not answer on {self.context.allocation.node_name} within "
                    f"{self.context.plan.spec.cluster.join_timeout_s:g} s",
                    f"read {self.context.node.ray_output}; raise cluster.join_timeout_s on slow storage",
                )
            self.context.stop.wait(_LOOK_S)
        address = self.node.ray.node.gcs_address
        self.events.add("strangers_refused", "Ray refuses callers who do not have the token of the run")
        self.joined = {self.node.address}
        self.node.note_phases()
        self.context.reached(Phase.JOINED)
        own = self.context.plan.spec.has_own_head
        self.context.report(NodeState.JOINED, "runs Ray's head" + (", and takes no tasks" if own else ""))
        self.events.add("ray_head_started", f"Ray's head answers at {address}", node=self.context.allocation.node_name)
        cluster = self._cluster(address)
        write_json(self.context.cluster.cluster, cluster)
        self._tell({**cluster, "answers": True})  # for those who do not join before
        self.events.add("cluster_published", f"clients may connect to {address}")
        return None

    def _cluster(self, address: str) -> dict[str, Any]:
        assert self.node.ray is not None
        ports, dashboard = self.node.ray.node.ports, self.node.ray.node.dashboard
        return {
            "schema": 1,
            "address": address,
            "head": self.context.allocation.node_name,
            "nodes": list(self.context.allocation.nodes),
            "dashboard": None if dashboard is Dashboard.OFF else f"127.0.0.1:{ports['dashboard']}",
            "client_server": at_port(self.node.address, ports["client_server"])
            if dashboard is Dashboard.FULL
            else None,
            "raylet": at_port(self.node.address, ports["node_manager"]),
            "ports": [ports.first, ports.last],
            "encrypted": self.context.encrypted,
            "versions": self.node.versions,
            "published": time.time(),
        }

    def _wait_for_nodes(self, probe: GcsProbe | AgentProbe) -> Outcome | None:
        """Until all nodes have joined, or none more can, or time is up and there are enough."""
        allocation, spec = self.context.allocation, self.context.plan.spec
        wanted, enough = len(allocation.nodes), self._enough
        patience = Patience(spec.cluster.join_timeout_s, _STEP_S)
        failed: dict[str, dict[str, Any]] = {}
        while True:
            self._board.look(self._awaited(failed))
            self._note_nodes(probe.alive_nodes())
            self._note_failures(failed)
            early = self._interrupted()
            if early is not None:
                return early
            if self.node.ray is not None and self.node.ray.exit_code() is not None:
                raise BootstrapError(
                    FailureClass.ENVIRONMENT,
                    "Ray's head died while the nodes joined",
                    f"read {self.context.node.ray_output}",
                )
            if wanted - len(failed) < enough:
                raise self._too_few(failed, enough)
            if len(self.joined) >= max(wanted - len(failed), enough) and self._is_complete():
                break
            if patience.is_over():
                if len(self.joined) >= enough:
                    break
                raise self._too_few(failed, enough)
            self.context.stop.wait(self._board.pause_s(_LOOK_S))
        missing = self._missing()
        kind = "Ray cluster" if self.node.ray is not None else "cluster"
        for name in missing:
            self.events.add("node_missing", "did not join; the run continues without it", node=name)
        self.events.add(
            "cluster_ready",
            f"{len(self.joined)} of {several(wanted, 'node')} in the {kind} after {time.time() - self._started:.1f} s",
            joined=len(self.joined),
            missing=missing,
        )
        own = self.context.allocation.node_name
        names = [name for name in self.context.allocation.nodes if name != own]
        staged = {name: self._board.status(name).get("staged") or {} for name in names}
        note_staged(self.events, {own: self.context.status.staged, **staged})
        return None

    def _is_complete(self) -> bool:
        """Whether all is there that a driver may use at once: a command may ask for Ray's states."""
        return self.node.ray is None or self.node.ray.is_complete()

    def _note_nodes(self, alive: set[str] | None) -> None:
        names = self._names()
        for address in sorted((alive or set()) - self.joined):
            self.joined.add(address)
            self.events.add("node_joined", f"joined with address {address}", node=names.get(address, address))

    def _awaited(self, failed: Container[str]) -> list[str]:
        """Nodes of which more must be known: those that have neither joined with a name nor failed."""
        present = self._present_names() | {self.context.allocation.node_name}
        return [name for name in self.context.allocation.nodes if name not in present and name not in failed]

    def _note_failures(self, failed: dict[str, dict[str, Any]]) -> None:
        for name in sorted(self._board.in_state(NodeState.FAILED)):
            if name not in failed and name != self.context.allocation.node_name:
                failed[name] = self._board.status(name)
                self.events.add("node_failed", str(failed[name].get("message")), node=name)

    def _names(self, *, everybody: bool = False) -> dict[str, str]:
        """Address -> name of the nodes that have said theirs; `everybody`: look again where one is not known."""
        names = self._board.names()
        if everybody and len(names) < len(self.context.allocation.nodes):
            self._board.look_at_all()
            names = self._board.names()
        return {**names, self.node.address: self.context.allocation.node_name}

    def _present_names(self) -> set[str]:
        names = self._names()
        return {names[address] for address in self.joined if address in names}

    def _missing(self) -> list[str]:
        self._names(everybody=True)
        present = self._present_names() | {self.context.allocation.node_name}
        return [name for name in self.context.allocation.nodes if name not in present]

    def _too_few(self, failed: dict[str, dict[str, Any]], enough: int) -> BootstrapError:
        missing = self._missing()
        reasons = [f"{name}: {failed[name].get('message')}" for name in missing if name in failed]
        silent = [name for name in missing if name not in failed]
        if silent:
            seconds = self.context.plan.spec.cluster.join_timeout_s
            reasons.append(f"{', '.join(silent)}: no response within {seconds:g} s (cluster.join_timeout_s)")
        known = next((failed[name] for name in missing if name in failed), None)
        failure = (known or {}).get("failure_class") or FailureClass.BOOTSTRAP_TIMEOUT
        logs = self.context.cluster.nodes
        return BootstrapError(
            str(failure),
            f"only {len(self.joined)} of {several(len(self.context.allocation.nodes), 'node')} "
            f"joined, and {enough} {are(enough)} needed; " + "; ".join(reasons),
            str((known or {}).get("next_step") or f"read the agents' logs in {logs}, or lower cluster.min_nodes"),
        )

    def _watch_nodes(self, address: str) -> None:
        """Note nodes that come and go while the driver runs."""
        probe = GcsProbe(address, self.context.credentials)
        while not self._over.wait(self._board.pause_s(_WATCH_S)):
            alive = probe.alive_nodes()
            if alive is None:
                continue
            names = self._names(everybody=alive != self.joined)
            for gone in sorted(self.joined - alive):
                self.joined.discard(gone)
                words = "left the Ray cluster; the run continues without it"
                self.events.add("node_lost", words, node=names.get(gone, gone))
            self._note_nodes(alive)
