"""How an attempt ends: what happened, as an outcome with its failure class, proof and next step."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.drain_order import DrainOrder
from curator_slurm.launcher.agent.draining import Draining
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.job_control import reason_of_end
from curator_slurm.launcher.agent.job_log import JobLog
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.runs.attempt_records import DRAINED, EventLog, NodeState, Outcome, reason_of_others
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.states import RunState

DRIVER_GRACE_S = 4.0
_ENDS = {
    FailureClass.TIME_LIMIT: "the time limit is near",
    FailureClass.PREEMPTED: "Slurm preempts the job",
    FailureClass.REQUEUED: "Slurm requeues the job",
}


class Outcomes:
    """Makes outcomes, for one attempt after the other: `begin` starts the clock and the count of memory kills."""

    def __init__(self, context: AgentContext, node: Node, events: EventLog, board: NodeBoard) -> None:
        self.context = context
        self._board = board
        self.node = node
        self.events = events
        self.started = time.time()
        self.head_died = False
        """Ray's processes on this node have ended by themselves."""
        self._kills: dict[str, int] = {}
        self.job_log = JobLog(context)
        self._noted = False

    def begin(self) -> None:
        """What follows belongs to a new attempt."""
        self.started = time.time()
        self._kills = self._all_memory_kills(fresh=False)

    def outcome(
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

    def before_start(self, driver: DriverProcess | None, draining: Draining) -> Outcome | None:
        """An end that comes before the driver has been told to go; None while there is none."""
        if self.context.stop.requested:
            return self.stopped(driver)
        if driver is not None or self.context.fence.has_twin(self.context.cluster.job_id):
            superseded = self.superseded(driver)
            if superseded is not None:
                return superseded
        draining.look()
        if (order := draining.order) is not None:
            return self.drained(order.reason, "nothing had begun")
        if driver is not None and driver.exit_code() is not None:
            verdict = driver.verdict()
            self.events.add("driver_ended", verdict.message, exit_code=verdict.exit_code)
            if verdict.succeeded:
                return self.outcome(RunState.FAILED, "the driver ended before it was told to start", 1)
            return self.driver_failed(verdict, driver.attempt)
        return None

    def driver_failed(self, verdict: Verdict, attempt: AttemptPaths) -> Outcome:
        killed = self._memory_kills()
        if killed:
            where = ", ".join(f"{count} on {name}" for name, count in killed.items())
            return self.outcome(
                RunState.FAILED,
                f"out of memory: the kernel killed processes of the run ({where}); {verdict.message}",
                verdict.exit_code,
                FailureClass.OUT_OF_MEMORY,
                evidence=list(verdict.evidence),
                next_step="raise resources.mem_per_node, or lower cluster.object_store_fraction",
            )
        return self.outcome(
            RunState.FAILED,
            verdict.message,
            verdict.exit_code,
            verdict.failure_class,
            evidence=list(verdict.evidence),
            next_step=verdict.next_step or f"read {attempt.driver_log}",
        )

    def superseded(self, driver: DriverProcess | None) -> Outcome | None:
        """Another attempt at the shard has begun since: this one ends at once. None while there is none."""
        newer = self.context.fence.newer
        if newer is None:
            return None
        if driver is not None:
            driver.stop(0.0)
        words = f"{newer.attempt} has begun the same shard since: this attempt ends, and publishes nothing"
        self.events.add("superseded", words, by=newer.attempt, epoch=newer.number)
        step = f"nothing is lost: {newer.attempt} goes on"
        return self.outcome(RunState.FAILED, words, 1, FailureClass.SUPERSEDED, next_step=step)

    def empty(self, why: str) -> Outcome:
        """A pipeline that kept nothing, where the spec calls that a failure."""
        return self.outcome(
            RunState.FAILED,
            f"{why} (failures.fail_if_empty)",
            1,
            FailureClass.APP_FAILED,
            next_step="look at that stage and at the input, or leave failures.fail_if_empty out",
        )

    def ray_died(self, driver: DriverProcess) -> Outcome:
        assert self.node.ray is not None
        self.head_died = True
        driver.stop(DRIVER_GRACE_S)
        return self.outcome(
            RunState.FAILED,
            "Ray's head died while the driver ran",
            1,
            FailureClass.NODE_FAILED,
            evidence=self.node.ray.last_lines(),
            next_step=f"read {self.context.node.ray_output} and {self.context.node.ray_logs}",
        )

    def stopped(self, driver: DriverProcess | None, reason: FailureClass | None = None) -> Outcome:
        """A signal came: scancel, the time limit, preemption, or Ctrl-C. `reason`: where somebody has said why.

        That is written down before anything else. Whether Slurm says why comes last (`explained`): its controller may
        not answer, and after KillWait nobody is left to write.
        """
        if not self.context.stop.requested:  # the time before the limit was over
            if driver is not None:
                driver.stop(DRIVER_GRACE_S)
            return self.drained(reason, "what had begun was not finished in time, and runs again")
        name = self._signal_name
        self.note_signal()
        if driver is not None:
            driver.stop(DRIVER_GRACE_S)
        if (given_up := reason_of_others(self.context.cluster)) is not None:
            given_up.started = self.started
            return given_up
        return self._of_signal(name, reason or self.job_log.reason())

    def note_signal(self) -> None:
        """Write down, once, that a signal has come: later there may be nobody left to write."""
        if not self._noted:
            self._noted = True
            self._of_signal(self._signal_name, None).write_ending(self.context.cluster)
            self.events.add("signal_received", f"{self._signal_name}: Slurm ends the job, or a user does")

    def announce(self, order: DrainOrder) -> None:
        """Slurm will end the job: written down, as long as there is somebody to write."""
        self._ending(order.reason).write_ending(self.context.cluster)

    def drained(self, reason: FailureClass | None, how: str) -> Outcome:
        """The work was drained, and is not complete."""
        return replace(
            self._ending(reason),
            message=f"drained, because {(reason and _ENDS.get(reason)) or 'Slurm ends the job'}: {how}",
            next_step="`curator-slurm retry` goes on where it was",
        )

    def _ending(self, reason: FailureClass | None) -> Outcome:
        if self.context.stop.requested:
            return self._of_signal(self._signal_name, reason)
        return self.outcome(RunState.FAILED, "Slurm was about to end the job", DRAINED, reason)

    def explained(self, outcome: Outcome) -> Outcome:
        """The outcome as it stays: with Slurm's word on why it ended the job, where nothing else tells."""
        if not outcome.provisional:
            return outcome
        reason = reason_of_end(self.context)
        if reason is None:
            return outcome
        said = self._of_signal(self._signal_name, reason)
        return replace(
            outcome, state=said.state, message=said.message, failure_class=said.failure_class, provisional=False
        )

    def bootstrap_failed(self, error: BootstrapError) -> Outcome:
        failure = failure_class_of(error.failure_class)
        self.context.report(NodeState.FAILED, str(error), failure_class=failure, next_step=error.next_step)
        evidence = self.node.ray.last_lines() if self.node.ray is not None else []
        return self.outcome(RunState.FAILED, str(error), 1, failure, evidence=evidence, next_step=error.next_step)

    @property
    def _signal_name(self) -> str:
        return signal.Signals(self.context.stop.signum or signal.SIGTERM).name

    def _of_signal(self, name: str, reason: FailureClass | None) -> Outcome:
        """The outcome after this signal; provisional where nobody has said why it was sent."""
        code = 128 + (self.context.stop.signum or signal.SIGTERM)
        if reason in (None, FailureClass.CANCELLED):
            words = f"the run was cancelled ({name})"
            outcome = self.outcome(RunState.CANCELLED, words, code, FailureClass.CANCELLED)
            return replace(outcome, provisional=reason is None and not self.context.allocation.local)
        words = f"Slurm ended the job: {reason.replace('_', ' ')} ({name})"
        return self.outcome(RunState.FAILED, words, code, reason)

    def _memory_kills(self) -> dict[str, int]:
        """Node -> processes that the kernel killed there for memory in this attempt."""
        kills = self._all_memory_kills(fresh=True)
        counts = {name: count - self._kills.get(name, 0) for name, count in kills.items()}
        return {name: count for name, count in sorted(counts.items()) if count > 0}

    def _all_memory_kills(self, *, fresh: bool) -> dict[str, int]:
        self._board.look_at_all(fresh=fresh)
        return {**self._board.memory_kills(), self.context.allocation.node_name: self.context.memory.kills()}
