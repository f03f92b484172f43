"""The head role: bring the cluster up, run the driver on it, publish, and say how it all ended."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

from curator_slurm.launcher.agent import preflight
from curator_slurm.launcher.agent.beacon import Beacon
from curator_slurm.launcher.agent.context import AgentContext, job_environment, log
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.gcs import GcsProbe
from curator_slurm.launcher.agent.job_control import cancel_step, reason_of_end
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.processes import reap
from curator_slurm.launcher.agent.publish import publish
from curator_slurm.launcher.agent.records import EventLog, NodeState, Outcome, read_node_status
from curator_slurm.launcher.errors import BootstrapError, StorageError
from curator_slurm.launcher.failure import FailureClass
from curator_slurm.launcher.files import write_atomic, write_json
from curator_slurm.launcher.paths import NodePaths
from curator_slurm.launcher.states import RunState

_BEAT_S = 2.0
_WATCH_S = 2.0
_DRIVER_GRACE_S = 4.0
_LEAVE_S = 15.0
"""How long the other nodes have for taking their Ray down and keeping its logs."""


class Head:
    """One attempt, as its head node sees it."""

    def __init__(self, context: AgentContext, node: Node) -> None:
        self.context = context
        self.node = node
        self.events = EventLog(context.attempt.events, log.info)
        self.beacon = Beacon(context.attempt.heartbeat)
        self.driver: DriverProcess | None = None
        self.started = time.time()
        self.joined: set[str] = set()
        self._beat_lock = threading.Lock()
        self._beat_stop = threading.Event()

    # -- the whole run -----------------------------------------------------------------------------------------

    def run(self) -> int:
        """Run the attempt to its end; the exit code of the job."""
        beats = threading.Thread(target=self._beat, daemon=True)
        beats.start()
        try:
            outcome = self._attempt()
        except BootstrapError as error:
            outcome = self._bootstrap_failed(error)
        except Exception as error:
            log.exception("the head agent failed")
            outcome = self._outcome(RunState.FAILED, f"the head agent failed: {error!r}", 1, FailureClass.UNKNOWN)
        finally:
            self._beat_stop.set()
            self._send(ended=True)
        if self.driver is not None and self.driver.exit_code() is None:
            self.driver.stop(_DRIVER_GRACE_S)
        self.node.take_down()
        self._forget_secrets()
        self.events.add("outcome", outcome.message, state=outcome.state, failure_class=outcome.failure_class)
        outcome.write(self.context.attempt)
        write_atomic(self.context.attempt.exit_code, f"{outcome.exit_code}\n")
        self._end_step()
        return outcome.exit_code

    def _end_step(self) -> None:
        """End the step if a node does not leave: its agent hangs, or the node is gone and Slurm waits for it.

        The batch script goes on after that, and ends with our exit code.
        """
        step = self.context.environment.get("SLURM_STEP_ID")
        if self.context.allocation.local or self.context.stop.requested or step is None:
            return
        others = set(self.context.allocation.nodes) - {self.context.allocation.node_name}
        deadline = time.monotonic() + _LEAVE_S
        while stuck := {name for name in others if not self._has_left(name)}:
            if self.context.stop.wait(0.2):
                return
            if time.monotonic() > deadline:
                log.warning("ending the step: no sign of %s", ", ".join(sorted(stuck)))
                cancel_step(self.context.environment["SLURM_JOB_ID"], step)
                return

    def _has_left(self, node: str) -> bool:
        return read_node_status(self.context.attempt.node(node)).get("state") in (NodeState.LEFT, NodeState.FAILED)

    def _attempt(self) -> Outcome:
        context = self.context
        allocation = context.allocation
        self._send()
        self.events.add("agent_started", f"{len(allocation.nodes)} nodes: {', '.join(allocation.nodes)}")
        context.attempt.outputs.mkdir(exist_ok=True)
        context.environment = job_environment(context.environment, context.run, context.plan)
        self._make_token()
        self.node.prepare()
        self.events.add("preflight_passed", "checks passed", node=allocation.node_name)
        self.node.start_ray()
        assert self.node.ray is not None
        self._send(cluster=self._cluster(self.node.ray.node.gcs_address))
        self.driver = self._start_driver()
        probe = GcsProbe(self.node.ray.node.gcs_address, context.attempt.token)
        stopped = self._wait_for_head(probe) or self._wait_for_nodes(probe)
        if stopped is not None:
            return stopped
        return self._run_driver()

    # -- bootstrap ---------------------------------------------------------------------------------------------

    def _wait_for_head(self, probe: GcsProbe) -> Outcome | None:
        """Until Ray's head answers. The workers know its address already: their Ray waits for the head's."""
        assert self.node.ray is not None
        deadline = time.monotonic() + self.context.plan.spec.cluster.join_timeout_s
        while self.node.address not in (probe.alive_nodes() or ()):
            early = self._interrupted()
            if early is not None:
                return early
            if self.node.check_ray():
                probe.address = self.node.ray.node.gcs_address
                self._send(cluster=self._cluster(probe.address))
            if time.monotonic() > deadline:
                raise BootstrapError(
                    FailureClass.BOOTSTRAP_TIMEOUT,
                    f"Ray's head did not answer on {self.context.allocation.node_name} within "
                    f"{self.context.plan.spec.cluster.join_timeout_s:g} s",
                    f"read {self.context.node.ray_output}; raise cluster.join_timeout_s on slow storage",
                )
            self.context.stop.wait(0.2)
        address = self.node.ray.node.gcs_address
        self.joined = {self.node.address}
        self.context.report(NodeState.JOINED, "runs Ray's head")
        self.events.add("ray_head_started", f"Ray's head answers at {address}", node=self.context.allocation.node_name)
        write_json(self.context.attempt.cluster, self._cluster(address))
        self.events.add("cluster_published", f"clients may connect to {address}")
        return None

    def _cluster(self, address: str) -> dict[str, Any]:
        assert self.node.ray is not None
        ports = self.node.ray.node.ports
        return {
            "schema": 1,
            "address": address,
            "head": self.context.allocation.node_name,
            "nodes": list(self.context.allocation.nodes),
            "dashboard": f"127.0.0.1:{ports['dashboard']}",
            "client_server": f"{self.node.address}:{ports['client_server']}",
            "ports": [ports.first, ports.last],
            "versions": preflight.versions(),
            "published": time.time(),
        }

    def _wait_for_nodes(self, probe: GcsProbe) -> Outcome | None:
        """Until all nodes have joined, or none more can, or time is up and there are enough."""
        allocation, spec = self.context.allocation, self.context.plan.spec
        wanted, enough = len(allocation.nodes), min(spec.min_nodes, len(allocation.nodes))
        deadline = time.monotonic() + spec.cluster.join_timeout_s
        failed: dict[str, dict[str, Any]] = {}
        while True:
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
            if len(self.joined) >= wanted:
                break
            if wanted - len(failed) < enough:
                raise self._too_few(failed, enough)
            if len(self.joined) >= wanted - len(failed) and len(self.joined) >= enough:
                break
            if time.monotonic() > deadline:
                if len(self.joined) >= enough:
                    break
                raise self._too_few(failed, enough)
            self.context.stop.wait(0.2)
        missing = self._missing()
        for name in missing:
            self.events.add("node_missing", "did not join; the run goes on without it", node=name)
        self.events.add(
            "cluster_ready",
            f"{len(self.joined)} of {wanted} nodes are in the Ray cluster after {time.time() - self.started:.1f} s",
            joined=len(self.joined),
            missing=missing,
        )
        return None

    def _note_nodes(self, alive: set[str] | None) -> None:
        names = self._names()
        for address in sorted((alive or set()) - self.joined):
            self.joined.add(address)
            self.events.add("node_joined", f"joined with address {address}", node=names.get(address, address))

    def _note_failures(self, failed: dict[str, dict[str, Any]]) -> None:
        for paths in self._nodes():
            if paths.name in failed or paths.name == self.context.allocation.node_name:
                continue
            status = read_node_status(paths)
            if status.get("state") == NodeState.FAILED:
                failed[paths.name] = status
                self.events.add("node_failed", str(status.get("message")), node=paths.name)

    def _names(self) -> dict[str, str]:
        """Address -> name of the nodes that have said theirs."""
        found = {}
        for paths in self._nodes():
            status = read_node_status(paths)
            if status.get("address"):
                found[str(status["address"])] = paths.name
        return found

    def _missing(self) -> list[str]:
        names = self._names()
        present = {names.get(address) for address in self.joined} | {self.context.allocation.node_name}
        return [name for name in self.context.allocation.nodes if name not in present]

    def _too_few(self, failed: dict[str, dict[str, Any]], enough: int) -> BootstrapError:
        missing = self._missing()
        reasons = [f"{name}: {failed[name].get('message')}" for name in missing if name in failed]
        silent = [name for name in missing if name not in failed]
        if silent:
            seconds = self.context.plan.spec.cluster.join_timeout_s
            reasons.append(f"{', '.join(silent)}: no answer within {seconds:g} s (cluster.join_timeout_s)")
        known = next((failed[name] for name in missing if name in failed), None)
        failure = (known or {}).get("failure_class") or FailureClass.BOOTSTRAP_TIMEOUT
        logs = self.context.attempt.nodes
        return BootstrapError(
            str(failure),
            f"only {len(self.joined)} of {len(self.context.allocation.nodes)} nodes joined, and {enough} are needed; "
            + "; ".join(reasons),
            str((known or {}).get("next_step") or f"read the agents' logs in {logs}, or lower cluster.min_nodes"),
        )

    # -- the driver --------------------------------------------------------------------------------------------

    def _start_driver(self) -> DriverProcess:
        """Start it early: it imports while Ray boots, and waits for the word."""
        attempt, spec = self.context.attempt, self.context.plan.spec
        environment = dict(self.node.environment)
        environment.update(
            {
                "CURATOR_SLURM_RUN_DIR": str(attempt.run.root),
                "CURATOR_SLURM_OUTPUT_DIR": str(attempt.outputs),
                "CURATOR_SLURM_PROGRESS": str(attempt.progress),
                "CURATOR_SLURM_FAILURES": str(attempt.failures),
            }
        )
        cwd = Path(self.context.plan.spec_dir)
        if not cwd.is_dir():
            cwd = attempt.run.root
        log.info("starting the driver of %s", spec.name)
        return DriverProcess(attempt, environment, cwd)

    def _run_driver(self) -> Outcome:
        assert self.driver is not None
        assert self.node.ray is not None
        address = self.node.ray.node.gcs_address
        self.driver.go(address)
        self.events.add("driver_started", "the driver runs", node=self.context.allocation.node_name)
        watch = threading.Thread(target=self._watch_nodes, args=(address,), daemon=True)
        watch.start()
        while self.driver.exit_code() is None:
            if self.context.stop.wait(0.1):
                return self._stopped()
            if self.node.ray.exit_code() is not None:
                return self._ray_died()
            reap(keep=(self.driver.pid, self.node.ray.pid))
        verdict = self.driver.verdict()
        self.events.add("driver_ended", verdict.message, exit_code=verdict.exit_code)
        return self._publish(verdict) if verdict.succeeded else self._driver_failed(verdict)

    def _watch_nodes(self, address: str) -> None:
        """Note nodes that come and go while the driver runs."""
        probe = GcsProbe(address, self.context.attempt.token)
        while not self._beat_stop.wait(_WATCH_S):
            alive = probe.alive_nodes()
            if alive is None:
                continue
            names = self._names()
            for gone in sorted(self.joined - alive):
                self.joined.discard(gone)
                self.events.add("node_lost", "left the Ray cluster; the rest goes on", node=names.get(gone, gone))
            self._note_nodes(alive)

    def _publish(self, verdict: Verdict) -> Outcome:
        attempt = self.context.attempt
        target = self.context.plan.spec.output.path
        try:
            published = publish(attempt.outputs, Path(target) if target else attempt.run.outputs)
        except StorageError as error:
            return self._outcome(
                RunState.FAILED,
                str(error),
                1,
                FailureClass.STORAGE,
                next_step="make room, then move them there by hand",
            )
        if published is not None:
            self.events.add("outputs_published", f"outputs are in {published}")
        outcome = self._outcome(RunState.COMPLETED, verdict.message, 0)
        outcome.outputs = str(published) if published else None
        return outcome

    # -- ends --------------------------------------------------------------------------------------------------

    def _interrupted(self) -> Outcome | None:
        """An end that comes before the driver has been told to go."""
        if self.context.stop.requested:
            return self._stopped()
        assert self.driver is not None
        if self.driver.exit_code() is not None:
            verdict = self.driver.verdict()
            self.events.add("driver_ended", verdict.message, exit_code=verdict.exit_code)
            if verdict.succeeded:
                return self._outcome(RunState.FAILED, "the driver ended before it was told to start", 1)
            return self._driver_failed(verdict)
        return None

    def _driver_failed(self, verdict: Verdict) -> Outcome:
        killed = self._memory_kills()
        if killed:
            where = ", ".join(f"{count} on {name}" for name, count in killed.items())
            return self._outcome(
                RunState.FAILED,
                f"out of memory: the kernel killed processes of the run ({where}); {verdict.message}",
                verdict.exit_code,
                FailureClass.OUT_OF_MEMORY,
                evidence=list(verdict.evidence),
                next_step="raise resources.mem_per_node, or lower cluster.object_store_fraction",
            )
        return self._outcome(
            RunState.FAILED,
            verdict.message,
            verdict.exit_code,
            verdict.failure_class,
            evidence=list(verdict.evidence),
            next_step=verdict.next_step or f"read {self.context.attempt.driver_log}",
        )

    def _memory_kills(self) -> dict[str, int]:
        """Node -> processes that the kernel killed there for memory."""
        counts = {paths.name: int(read_node_status(paths).get("memory_kills") or 0) for paths in self._nodes()}
        counts[self.context.allocation.node_name] = self.context.memory.kills()
        return {name: count for name, count in sorted(counts.items()) if count}

    def _nodes(self) -> list[NodePaths]:
        return self.context.attempt.existing_nodes()

    def _ray_died(self) -> Outcome:
        assert self.driver is not None
        assert self.node.ray is not None
        self.driver.stop(_DRIVER_GRACE_S)
        return self._outcome(
            RunState.FAILED,
            "Ray's head died while the driver ran",
            1,
            FailureClass.NODE_FAILED,
            evidence=self.node.ray.last_lines(),
            next_step=f"read {self.context.node.ray_output} and {self.context.node.ray_logs}",
        )

    def _stopped(self) -> Outcome:
        """A signal came: scancel, the time limit, preemption, or Ctrl-C."""
        name = signal.Signals(self.context.stop.signum or signal.SIGTERM).name
        self.events.add("signal_received", f"{name}: stopping")
        if self.driver is not None:
            self.driver.stop(_DRIVER_GRACE_S)
        state, failure, why = self._reason_of_signal()
        return self._outcome(state, f"{why} ({name})", 128 + (self.context.stop.signum or 15), failure)

    def _reason_of_signal(self) -> tuple[RunState, FailureClass, str]:
        if not self.context.allocation.local:
            failure = reason_of_end(self.context.allocation.job_id)
            if failure is not None and failure is not FailureClass.CANCELLED:
                return RunState.FAILED, failure, f"Slurm ended the job: {failure.replace('_', ' ')}"
        return RunState.CANCELLED, FailureClass.CANCELLED, "the run was cancelled"

    def _bootstrap_failed(self, error: BootstrapError) -> Outcome:
        failure = FailureClass(error.failure_class)
        self.context.report(NodeState.FAILED, str(error), failure_class=failure, next_step=error.next_step)
        evidence = self.node.ray.last_lines() if self.node.ray is not None else []
        return self._outcome(RunState.FAILED, str(error), 1, failure, evidence=evidence, next_step=error.next_step)

    def _outcome(
        self,
        state: RunState,
        message: str,
        exit_code: int,
        failure_class: FailureClass | None = None,
        *,
        evidence: list[str] | None = None,
        next_step: str = "",
    ) -> Outcome:
        if state is RunState.FAILED and failure_class is None:
            failure_class = FailureClass.UNKNOWN
        return Outcome(
            state=state,
            message=message,
            exit_code=exit_code,
            started=self.started,
            nodes=list(self.context.allocation.nodes),
            failure_class=failure_class,
            evidence=evidence or [],
            next_step=next_step,
        )

    # -- small things ------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        while not self._beat_stop.wait(_BEAT_S):
            self._send()

    def _send(self, *, cluster: dict[str, Any] | None = None, ended: bool = False) -> None:
        with self._beat_lock, contextlib.suppress(OSError):
            self.beacon.send(cluster=cluster, ended=ended)

    def _make_token(self) -> None:
        """Ray's token of this attempt: random, readable by the owner alone, passed by path."""
        self.context.run.secrets.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self.context.attempt.token, secrets.token_hex(32), mode=0o600)

    def _forget_secrets(self) -> None:
        shutil.rmtree(self.context.run.secrets, ignore_errors=True)
