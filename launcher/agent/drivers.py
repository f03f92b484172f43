"""What a job's cluster is for: drivers, one after the other."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.drain_order import DrainOrder
from curator_slurm.launcher.agent.draining import Draining, why
from curator_slurm.launcher.agent.driver_process import DriverProcess, Verdict
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.outcomes import DRIVER_GRACE_S, Outcomes
from curator_slurm.launcher.agent.processes import reap
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.spec.report_section import ReportSpec


class EndedEarlyError(Exception):
    """There is no verdict on a driver: the cluster ended while it ran, or it ended before it was told to go."""

    def __init__(self, outcome: Outcome, *, only_driver: bool = False) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.only_driver = only_driver
        """The cluster is there still."""


class Drivers:
    """Starts drivers on this node and sees them to their end."""

    def __init__(
        self, context: AgentContext, node: Node, events: EventLog, outcomes: Outcomes, draining: Draining
    ) -> None:
        self.context = context
        self.node = node
        self.events = events
        self.outcomes = outcomes
        self.draining = draining
        self._told: DrainOrder | None = None

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
        if self.context.plan.spec.cluster.measure:
            environment["CURATOR_SLURM_METRICS"] = str(attempt.metrics)
        environment.update(_samples(self.context.plan.spec.report, attempt))
        cwd = Path(self.context.plan.spec_dir)
        if not cwd.is_dir():
            cwd = attempt.run.root
        is_command = self.context.plan.spec.pipeline.command is not None
        log.info("starting the driver of %s", self.context.plan.spec.name)
        self.events.add("driver_launched", "the driver starts, and imports", shard=attempt.shard)
        self.context.attempt = attempt
        driver = DriverProcess(
            attempt, self.context.plan_file, environment, cwd, self.context.umask, is_command=is_command
        )
        self.node.waiting = driver.pid
        return driver

    def see_through(self, driver: DriverProcess, address: str) -> Verdict:
        """Let it go, and wait for its end.

        Raises:
            EndedEarlyError: a signal came, or Ray's head died, or the driver had ended before it was told to go, or it
                was drained and is not complete.
        """
        ray, self._told = self.node.ray, None
        early = self.outcomes.before_start(driver, self.draining)
        if early is not None:
            twin = self.context.fence.has_twin(self.context.cluster.job_id)
            ends = self.context.stop.requested or twin or self.draining.order is not None
            raise EndedEarlyError(early, only_driver=not ends)
        driver.go(address)
        self.node.waiting = None
        node, shard = self.context.allocation.node_name, driver.attempt.shard
        self.events.add("driver_started", "the driver runs", node=node, shard=shard)
        while driver.exit_code() is None:
            self.draining.pause(0.05)
            self._drain(driver)
            if (superseded := self.outcomes.superseded(driver)) is not None:
                twin = self.context.fence.has_twin(self.context.cluster.job_id)
                raise EndedEarlyError(superseded, only_driver=not twin)
            if ray is not None and ray.exit_code() is not None:
                stopped = self.context.stop.requested  # where Slurm signals every process of a job
                end = self.outcomes.stopped(driver, self._reason) if stopped else self.outcomes.ray_died(driver)
                raise EndedEarlyError(end)
            reap(keep=(driver.pid, *((ray.pid,) if ray is not None else ())))
        verdict = driver.verdict()
        phases = driver.phases()
        self.events.add("driver_ended", verdict.message, exit_code=verdict.exit_code, shard=shard, phases=phases)
        self._end_of_drain(driver, verdict)
        return verdict

    def _drain(self, driver: DriverProcess) -> None:
        """Tell the driver to drain, when it is time; end it, when that is over.

        Raises:
            EndedEarlyError: it had to be ended.
        """
        self.draining.look()
        if self.context.stop.requested:
            self.outcomes.note_signal()
        order = self.draining.order
        if self.draining.stops or self.draining.is_late:
            raise EndedEarlyError(self.outcomes.stopped(driver, self._reason))
        if order is None or order == self._told:
            return
        first, self._told = self._told is None, order
        driver.drain(why(order), order.until)
        if first:
            self.outcomes.announce(order)
            with contextlib.suppress(OSError):
                write_json(driver.attempt.drain, {"schema": 1, "reason": order.reason, "until": order.until})
            left = max(0.0, order.until - time.time())
            words = "the command has got SIGTERM" if driver.terminated else "no source partition begins any more"
            message = f"{words}; {left:.0f} s are left for what has begun ({why(order)})"
            shard = driver.attempt.shard
            self.events.add("draining", message, shard=shard, reason=order.reason, until=order.until)

    def _end_of_drain(self, driver: DriverProcess, verdict: Verdict) -> None:
        """What the end of the driver means while the work drains.

        Raises:
            EndedEarlyError: it is not complete for that reason, and for no other.
        """
        interrupted = driver.terminated or (self.context.stop.requested and not verdict.succeeded)
        if not (verdict.drained or interrupted):
            return
        if self._told is None:  # Slurm signals every process of a job here, and has not said why yet
            raise EndedEarlyError(self.outcomes.stopped(None, self._reason))
        how = "the command ended after SIGTERM" if driver.terminated else verdict.message
        counts: dict[str, Any] = {"sources_finished": verdict.sources_finished, "sources_left": verdict.sources_left}
        self.events.add("drained", how, shard=driver.attempt.shard, reason=self._reason, **counts)
        raise EndedEarlyError(self.outcomes.drained(self._reason, how))

    @property
    def _reason(self) -> FailureClass | None:
        announced = self.draining.announced
        return announced.reason if announced is not None else None


def _samples(wanted: ReportSpec, attempt: AttemptPaths) -> dict[str, str]:
    """What documents the driver is to keep for reports."""
    if not wanted.samples:
        return {}
    limits = {"documents": wanted.samples, "characters": wanted.sample_characters}
    fields = {"fields": list(wanted.sample_fields), "hidden": list(wanted.hidden_fields)}
    return {"CURATOR_SLURM_SAMPLES": json.dumps({"file": str(attempt.samples), **limits, **fields})}


def stop_driver(driver: DriverProcess | None) -> None:
    """End a driver that still runs."""
    if driver is not None and driver.exit_code() is None:
        driver.stop(DRIVER_GRACE_S)
