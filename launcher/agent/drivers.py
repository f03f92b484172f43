"""What a job's cluster is for: drivers, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.outcomes import DRIVER_GRACE_S, Outcomes
from curator_slurm.launcher.agent.processes import reap
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.paths import AttemptPaths


class EndedEarlyError(Exception):
    """There is no verdict on a driver: the cluster ended while it ran, or it ended before it was told to go."""

    def __init__(self, outcome: Outcome, *, only_driver: bool = False) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.only_driver = only_driver
        """The cluster is there still."""


class Drivers:
    """Starts drivers on this node and sees them to their end."""

    def __init__(self, context: AgentContext, node: Node, events: EventLog, outcomes: Outcomes) -> None:
        self.context = context
        self.node = node
        self.events = events
        self.outcomes = outcomes

    def start(self, attempt: AttemptPaths, more: Mapping[str, str]) -> DriverProcess:
        """Start it early: it imports while Ray boots, and waits until it is told to go; `more` are variables for it."""
        environment = {**self.node.environment, **more}
        environment.update(
            {
                "CURATOR_SLURM_RUN_DIR": str(attempt.run.root),
                "CURATOR_SLURM_OUTPUT_DIR": str(attempt.outputs),
                "CURATOR_SLURM_PROGRESS": str(attempt.progress),
                "CURATOR_SLURM_FAILURES": str(attempt.failures),
                "CURATOR_SLURM_SHARD": str(attempt.shard),
            }
        )
        cwd = Path(self.context.plan.spec_dir)
        if not cwd.is_dir():
            cwd = attempt.run.root
        log.info("starting the driver of %s", self.context.plan.spec.name)
        self.events.add("driver_launched", "the driver starts, and imports", shard=attempt.shard)
        driver = DriverProcess(attempt, self.context.plan_file, environment, cwd, self.context.umask)
        self.node.waiting = driver.pid
        return driver

    def see_through(self, driver: DriverProcess, address: str) -> Verdict:
        """Let it go, and wait for its end.

        Raises:
            EndedEarlyError: a signal came, or Ray's head died, or the driver had ended before it was told to go.
        """
        ray = self.node.ray
        early = self.outcomes.before_start(driver)
        if early is not None:
            twin = self.context.fence.has_twin(self.context.cluster.job_id)
            raise EndedEarlyError(early, only_driver=not (self.context.stop.requested or twin))
        driver.go(address)
        self.node.waiting = None
        node, shard = self.context.allocation.node_name, driver.attempt.shard
        self.events.add("driver_started", "the driver runs", node=node, shard=shard)
        while driver.exit_code() is None:
            if self.context.stop.wait(0.05):
                raise EndedEarlyError(self.outcomes.stopped(driver))
            if (superseded := self.outcomes.superseded(driver)) is not None:
                twin = self.context.fence.has_twin(self.context.cluster.job_id)
                raise EndedEarlyError(superseded, only_driver=not twin)
            if ray is not None and ray.exit_code() is not None:
                raise EndedEarlyError(self.outcomes.ray_died(driver))
            reap(keep=(driver.pid, *((ray.pid,) if ray is not None else ())))
        verdict = driver.verdict()
        phases = driver.phases()
        self.events.add("driver_ended", verdict.message, exit_code=verdict.exit_code, shard=shard, phases=phases)
        return verdict


def stop_driver(driver: DriverProcess | None) -> None:
    """End a driver that still runs."""
    if driver is not None and driver.exit_code() is None:
        driver.stop(DRIVER_GRACE_S)
