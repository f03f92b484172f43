"""The work of a run without shards: one driver, whose outputs become the run's."""

from __future__ import annotations

import shutil
from pathlib import Path

from curator_slurm.launcher.agent.context import AgentContext
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.drivers import Drivers, EndedEarlyError
from curator_slurm.launcher.agent.outcomes import Ends
from curator_slurm.launcher.agent.publish import publish, publisher_of
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.states import RunState


class RunWork:
    """One attempt at a whole run; it shares its folder with its cluster."""

    def __init__(self, context: AgentContext, drivers: Drivers, events: EventLog, ends: Ends) -> None:
        self.context = context
        self.attempt = AttemptPaths(context.cluster.root, context.cluster.run)
        self.driver: DriverProcess | None = None
        self._drivers = drivers
        self._events = events
        self._ends = ends

    def prepare(self) -> Outcome | None:
        """An earlier attempt may have died between publishing and saying so."""
        earlier = publisher_of(self.context.run, self._target)
        if earlier is None:
            self.attempt.outputs.mkdir(exist_ok=True)
            return None
        outcome = self._ends.outcome(RunState.COMPLETED, f"completed by {earlier}, which published the outputs", 0)
        outcome.outputs = str(self._target)
        return outcome

    def start(self) -> None:
        self.driver = self._drivers.start(self.attempt)

    @property
    def last_driver(self) -> DriverProcess | None:
        return self.driver

    def run(self, address: str) -> Outcome:
        assert self.driver is not None
        try:
            verdict = self._drivers.see_through(self.driver, address)
        except EndedEarlyError as end:
            return end.outcome
        return self._publish(verdict) if verdict.succeeded else self._ends.driver_failed(verdict, self.attempt)

    def abandon(self, outcome: Outcome) -> Outcome:
        """The job's outcome is the attempt's."""
        return outcome

    def close(self) -> None:
        shutil.rmtree(self.context.run.secrets, ignore_errors=True)

    @property
    def _target(self) -> Path:
        path = self.context.plan.spec.output.path
        return Path(path) if path else self.context.run.outputs

    def _publish(self, verdict: Verdict) -> Outcome:
        try:
            published = publish(self.attempt, self._target)
        except StorageError as error:
            return self._ends.outcome(
                RunState.FAILED,
                str(error),
                1,
                FailureClass.STORAGE,
                next_step="make room, then move them there by hand",
            )
        if published is not None:
            self._events.add("outputs_published", f"outputs are in {published}")
        outcome = self._ends.outcome(RunState.COMPLETED, verdict.message, 0)
        outcome.outputs = str(published) if published else None
        return outcome
