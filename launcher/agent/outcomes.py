"""How an attempt ends: what happened, as an outcome with its failure class, proof and next step."""

from __future__ import annotations

import signal
import time

from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.job_control import reason_of_end
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.node_board import NodeBoard
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.attempt_records import EventLog, NodeState, Outcome, reason_of_others
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.states import RunState

DRIVER_GRACE_S = 4.0


class Outcomes:
    """Makes outcomes, for one attempt after the other: `begin` starts the clock and the count of memory kills."""

    def __init__(self, context: AgentContext, node: Node, events: EventLog, board: NodeBoard) -> None:
        self.context = context
        self._board = board
        self.node = node
        self.events = events
        self.started = time.time()
        self._kills: dict[str, int] = {}

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

    def before_start(self, driver: DriverProcess | None) -> Outcome | None:
        """An end that comes before the driver has been told to go; None while there is none."""
        if self.context.stop.requested:
            return self.stopped(driver)
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

    def ray_died(self, driver: DriverProcess) -> Outcome:
        assert self.node.ray is not None
        driver.stop(DRIVER_GRACE_S)
        return self.outcome(
            RunState.FAILED,
            "Ray's head died while the driver ran",
            1,
            FailureClass.NODE_FAILED,
            evidence=self.node.ray.last_lines(),
            next_step=f"read {self.context.node.ray_output} and {self.context.node.ray_logs}",
        )

    def stopped(self, driver: DriverProcess | None) -> Outcome:
        """A signal came: scancel, the time limit, preemption, or Ctrl-C."""
        name = signal.Signals(self.context.stop.signum or signal.SIGTERM).name
        self.events.add("signal_received", f"{name}: stopping")
        if driver is not None:
            driver.stop(DRIVER_GRACE_S)
        if (given_up := reason_of_others(self.context.cluster)) is not None:
            given_up.started = self.started
            return given_up
        state, failure, why = self._reason_of_signal()
        return self.outcome(state, f"{why} ({name})", 128 + (self.context.stop.signum or 15), failure)

    def bootstrap_failed(self, error: BootstrapError) -> Outcome:
        failure = FailureClass(error.failure_class)
        self.context.report(NodeState.FAILED, str(error), failure_class=failure, next_step=error.next_step)
        evidence = self.node.ray.last_lines() if self.node.ray is not None else []
        return self.outcome(RunState.FAILED, str(error), 1, failure, evidence=evidence, next_step=error.next_step)

    def _reason_of_signal(self) -> tuple[RunState, FailureClass, str]:
        if not self.context.allocation.local:
            failure = reason_of_end(self.context.allocation.job_id)
            if failure is not None and failure is not FailureClass.CANCELLED:
                return RunState.FAILED, failure, f"Slurm ended the job: {failure.replace('_', ' ')}"
        return RunState.CANCELLED, FailureClass.CANCELLED, "the run was cancelled"

    def _memory_kills(self) -> dict[str, int]:
        """Node -> processes that the kernel killed there for memory in this attempt."""
        kills = self._all_memory_kills(fresh=True)
        counts = {name: count - self._kills.get(name, 0) for name, count in kills.items()}
        return {name: count for name, count in sorted(counts.items()) if count > 0}

    def _all_memory_kills(self, *, fresh: bool) -> dict[str, int]:
        self._board.look_at_all(fresh=fresh)
        return {**self._board.memory_kills(), self.context.allocation.node_name: self.context.memory.kills()}
