"""Stages on the engine as it is, for a cosmos-xenna whose pool of workers has changed.

Nothing of the engine's workers and queues is replaced: every task is an object of its own, the engine calls a stage for
a batch, and returns what the last one gives. What became of a batch, which the engine has no channel for, is told to a
small actor, and taken from there by the driver.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.backends.xenna.worker_process import Place, Requests, XennaStage
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.task_failures import ExecutorError, FailurePolicy, TooManyFailedTasksError

_POLL_S = 0.5


class Reports:
    """Runs as an actor. Counts a batch once, however often it ran."""

    def __init__(self, max_failed: int | None) -> None:
        self._max_failed = max_failed
        self._failed = 0
        self._seen: set[tuple[int, str]] = set()
        self._waiting: list[tuple[int, BatchReport]] = []

    def add(self, stage: int, batch: str, report: BatchReport) -> bool:
        """A batch is done; False if the run has failed too often and must end."""
        if (stage, batch) not in self._seen:
            self._seen.add((stage, batch))
            self._waiting.append((stage, report))
            self._failed += report.failed_count
        return self._max_failed is None or self._failed <= self._max_failed

    def take(self) -> list[tuple[int, BatchReport]]:
        """What has come since the last call."""
        taken, self._waiting = self._waiting, []
        return taken


class PlainStage(XennaStage):
    """Takes and gives tasks one by one, and reports on its own."""

    def __init__(self, adapter: StageAdapter, requests: Requests, env: Any, *, position: int, reports: Any) -> None:
        super().__init__(adapter, requests, env, None, place=Place())
        self._position = position
        self._reports = reports

    def process_data(self, in_data: list[Any]) -> list[Any]:
        """One batch.

        Raises:
            TooManyFailedTasksError: the run is to end.
        """
        batch = _digest(in_data)
        outputs, report = self._adapter.process(list(in_data))
        if not ray.get(self._reports.add.remote(self._position, batch, report)):
            raise TooManyFailedTasksError(f"more tasks failed than max_failed_tasks allows; stage {self.label!r}")
        return list(outputs)


class ReportReader:
    """Carries reports from the actor to the monitor while the engine works, and the rest at the end."""

    def __init__(self, monitor: RunMonitor, policy: FailurePolicy) -> None:
        self._monitor = monitor
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        most = policy.max_failed_tasks if policy.skips else None
        self.actor: Any = ray.remote(num_cpus=0)(Reports).options(scheduling_strategy=here).remote(most)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="xenna-reports")
        self._error: Exception | None = None

    def __enter__(self) -> ReportReader:
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._stop.set()
        self._thread.join()
        self._take()
        ray.kill(self.actor)
        if self._error is not None and (error is None or isinstance(self._error, ExecutorError)):
            raise self._error from None

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._take()

    def _take(self) -> None:
        try:
            for stage, report in ray.get(self.actor.take.remote()):
                self._monitor.record(stage, report)
        except Exception as error:
            self._error = self._error or error


def _digest(tasks: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(str(getattr(task, "task_id", "")).encode())
        digest.update(b"\0")
    return digest.hexdigest()
