"""The head role: bring the cluster up, do the work on it, and say how it all ended."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.in_words import several
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.agent.bootstrap import Bootstrap
from curator_slurm.launcher.agent.context import AgentContext, job_environment, log
from curator_slurm.launcher.agent.credentials import make_credentials
from curator_slurm.launcher.agent.draining import Draining
from curator_slurm.launcher.agent.drivers import Drivers, stop_driver
from curator_slurm.launcher.agent.going_on import Restarts
from curator_slurm.launcher.agent.heartbeat import Beating, Heartbeat
from curator_slurm.launcher.agent.job_control import cancel_step
from curator_slurm.launcher.agent.last_element import remove_secrets_of
from curator_slurm.launcher.agent.leaving import take_steps, wait_for_storage
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.agent.note_faults import faults_of, note_faults
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.agent.shard_runner import ShardRunner
from curator_slurm.launcher.agent.telling import telling_of
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.attempt_records import EventLog, NodeState, Outcome
from curator_slurm.launcher.runs.phases import NODE_PHASES, Phase
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.waiting import Patience

_TELL_S = 5.0
"""How long the end is told to the workers before a signal is looked for."""
_LOOK_S = 0.05
"""Between two looks at the nodes that have not left."""
_LEAVE_S = 15.0
"""How long the other nodes have for taking their Ray down and keeping its logs."""


class Head:
    """One job, or one element of an array, as its head node sees it."""

    def __init__(self, context: AgentContext, node: Node, shards: Sequence[int]) -> None:
        self.context = context
        self.node = node
        self.events = EventLog(context.cluster.events, log.info)
        self.heartbeat = Beating(Heartbeat(context.cluster.heartbeat), context.fence)
        self.board = NodeBoard(context.cluster, context.allocation.nodes)
        self.outcomes = Outcomes(context, node, self.events, self.board)
        self.restarts = Restarts(context, self.outcomes, self.events, list(shards))
        self.telling = telling_of(context.cluster, context.plan)
        self.draining = Draining(context, self.outcomes.job_log, self.heartbeat.drain)
        drivers = Drivers(context, node, self.events, self.outcomes, self.draining)
        self.runner = ShardRunner(
            context, drivers, self.events, self.outcomes, shards, self.draining, lambda: self.bootstrap.check_nodes()
        )
        self.bootstrap = Bootstrap(
            context,
            node,
            self.events,
            tell=self.heartbeat.tell,
            interrupted=lambda: self.outcomes.before_start(self.runner.last_driver, self.draining),
            board=self.board,
        )

    def run(self) -> int:
        """Run to the end; the exit code of the job."""
        self.heartbeat.start()
        self.draining.watch()
        outcome = self._end_of_work()
        self._tell_end()
        if outcome.state is not RunState.COMPLETED:
            outcome = self._abandon(outcome)
        if self.context.stop.requested:  # KillWait has begun
            outcome.write_ending(self.context.cluster)
        take_steps(
            ("the end of the watch", self.bootstrap.end),
            ("the end of the watch for signals", self.draining.end),
            ("the end of the driver", lambda: stop_driver(self.runner.driver)),
            ("cleaning up the node", self.node.take_down),
            ("removing staged outputs and secrets", self.runner.close),
        )
        outcome = self.outcomes.explained(outcome)
        self.runner.amend(outcome)
        take_steps(("noting nodes that failed", lambda: self._note_faults(outcome)))
        if not self.context.stop.requested:
            wait_for_storage(self.context.cluster.root, self.context.stop.wait)
        outcome = self.restarts.settle(outcome)
        self.events.add("outcome", outcome.message, state=outcome.state, failure_class=outcome.failure_class)
        with contextlib.suppress(OSError):
            write_atomic(self.context.cluster.exit_code, f"{outcome.exit_code}\n")
        take_steps(
            ("removing secrets", self._remove_secrets),
            ("the node's status", self.context.leave),
            ("the phases of this node", self._note_own_phases),
        )
        outcome.write(self.context.cluster)  # last: with it the run has ended
        if self.context.plan.array:
            take_steps(("removing secrets", self._remove_secrets))  # again: another one may have ended meanwhile
        take_steps(
            ("telling of the end", lambda: self.telling.end(outcome)),
            ("the end of the step", self._end_step),
            ("the end of telling", lambda: self.telling.finish(hurries=self.context.stop.requested)),
        )
        return outcome.exit_code

    def _note_faults(self, outcome: Outcome) -> None:
        """Remember which nodes failed; where Slurm or a user has ended the job, they have only left it."""
        context = self.context
        if context.allocation.local:
            return
        self.board.look_at_all(fresh=True)
        own = context.allocation.node_name
        statuses = {name: self.board.status(name) for name in context.allocation.nodes if name != own}
        if Phase.JOINED not in context.status.phases:  # later it fails because of others
            statuses[own] = asdict(context.status)
        lost = {} if context.stop.requested else dict(self.events.lost)
        if outcome.failure_class is FailureClass.NODE_FAILED and self.outcomes.head_died:
            lost[own] = outcome.message
        killed = {name for name, count in {**self.board.memory_kills(), own: context.memory.kills()}.items() if count}
        faults = faults_of(context.allocation.nodes, statuses, lost, killed)
        note_faults(context.cluster, list(faults))

    def _note_phases(self, phases: Mapping[str, Any]) -> None:
        """Node -> what it has reached; of all that have left since the last look at once."""
        if phases:
            self.events.add(NODE_PHASES, f"left the run: {', '.join(phases)}", phases=phases)

    def _note_own_phases(self) -> None:
        self._note_phases({self.context.allocation.node_name: self.context.status.phases})

    def _remove_secrets(self) -> None:
        remove_secrets_of(self.context.cluster, array=self.context.plan.array)

    def _end_of_work(self) -> Outcome:
        """Do the work; the outcome, whatever that was."""
        try:
            try:
                return self._attempt()
            except BootstrapError as error:
                return self.outcomes.bootstrap_failed(error)
        except OSError as error:
            log.exception("the head agent failed")
            words = f"the head agent failed: {storage_errors.what(error)}"
            step = storage_errors.next_step(error)
            return self.outcomes.outcome(RunState.FAILED, words, 1, FailureClass.STORAGE, next_step=step)
        except Exception as error:
            log.exception("the head agent failed")
            words = f"the head agent failed: {error!r}"
            return self.outcomes.outcome(RunState.FAILED, words, 1, FailureClass.UNKNOWN)

    def _abandon(self, outcome: Outcome) -> Outcome:
        """The current shard ends like the job."""
        try:
            return self.runner.abandon(outcome)
        except Exception:
            log.exception("ending the current shard failed")
            return outcome

    def _attempt(self) -> Outcome:
        context = self.context
        allocation = context.allocation
        self.events.add("agent_started", f"{several(len(allocation.nodes), 'node')}: {', '.join(allocation.nodes)}")
        take_steps(("telling of the wait", lambda: self.telling.began(context.submission)))
        nothing_to_do = self.restarts.begin() or self.runner.prepare()
        if nothing_to_do is not None:
            return nothing_to_do
        if context.stop.requested:
            return self.outcomes.stopped(None)
        context.environment = job_environment(context.environment, context.run, context.plan, context.code)
        if context.plan.spec.cluster.ray:
            self._make_credentials()
        self.bootstrap.start()
        self.runner.start()
        stopped = self.bootstrap.wait()
        if stopped is not None:
            return stopped
        self.bootstrap.watch()
        return self.runner.run(self.bootstrap.address)

    def _make_credentials(self) -> None:
        context, tls = self.context, self.context.plan.spec.cluster.tls
        context.encrypted = make_credentials(context.cluster, tls=tls)
        if not context.encrypted and tls is None:
            self.events.add(
                "not_encrypted",
                "Ray's traffic is not encrypted: the Python of the job does not have the module cryptography",
            )

    def _tell_end(self) -> None:
        """Before Ray goes down: workers that see Ray go and read nothing take the head for lost.

        So storage that stalls is waited for, unless a signal has come: then there is no time.
        """
        while not self.heartbeat.end(_TELL_S):
            if self.context.stop.requested:
                return

    def _end_step(self) -> None:
        """End the step if a node does not leave: its agent hangs, or the node is gone and Slurm waits for it.

        The batch script goes on after that, and ends with our exit code.
        """
        step = self.context.environment.get("SLURM_STEP_ID")
        twin = self.context.fence.has_twin(self.context.cluster.job_id)  # it has a step of the same name
        if self.context.allocation.local or self.context.stop.requested or step is None or twin:
            return
        others = set(self.context.allocation.nodes) - {self.context.allocation.node_name}
        noted: set[str] = set()
        patience = Patience(_LEAVE_S + self.board.seconds_for_all, _LEAVE_S / 3)
        while stuck := others - self.board.in_state(NodeState.LEFT, NodeState.FAILED):
            self.board.look(stuck)
            noted |= self._note_phases_of(others - noted)
            if self.context.stop.wait(self.board.pause_s(_LOOK_S) if len(noted) < len(others) else 0.0):
                return
            if patience.is_over():
                log.warning("ending the step: no response from %s", ", ".join(sorted(stuck)))
                cancel_step(self.context, f"{self.context.environment['SLURM_JOB_ID']}.{step}")
                return
        self._note_phases_of(others - noted)

    def _note_phases_of(self, nodes: Set[str]) -> set[str]:
        """Note what those of `nodes` have reached that have left the run, and give these."""
        left = nodes & self.board.in_state(NodeState.LEFT, NodeState.FAILED)
        self._note_phases({name: self.board.status(name).get("phases") for name in sorted(left)})
        return set(left)
