"""RayDataExecutor: a pipeline as a streaming Ray Data dataset whose rows are tasks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from curator_slurm.executors import ray_internals
from curator_slurm.executors.base import BaseExecutor, warn_experimental
from curator_slurm.executors.ray_connection import dead_nodes, environment, ray_session
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.placement import NodePatience, count_nodes
from curator_slurm.executors.run.ray_errors import executor_error
from curator_slurm.executors.run.rounds import run_rounds
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import StageError, short_error

log = logging.getLogger(__name__)

_POLL_S = 0.5
_NO_POLLER = {"RAY_DATA_USAGE_DISABLED": "1"}
"""Without it a thread of Ray Data polls Ray every ten seconds, for ever; Ray ends a process that polls while it
disconnects."""


class RayDataExecutor(BaseExecutor):
    """Runs a pipeline on Ray Data, which schedules and scales it.

    Stages with `setup`, `teardown` or GPUs run on actors, others as tasks. Of `ray_stage_spec` all keys of NeMo
    Curator's are known. ``config`` holds the failure policy of all back ends.
    """

    CONFIG_DEFAULTS: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, config: Mapping[str, Any] | None = None, ignore_head_node: bool = False) -> None:
        super().__init__(config, ignore_head_node)
        warn_experimental(type(self).__name__)

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        """Run the stages; tasks come back in no particular order."""
        tasks = self.first_tasks(initial_tasks)
        if not stages:
            return []
        with (
            ray_session(stages=stages) as ray,
            environment(**_NO_POLLER),
            RunMonitor("ray_data", stages, self.policy) as monitor,
        ):
            adapters = [monitor.adapter(index, stage, self.policy) for index, stage in enumerate(stages)]
            ray_internals.warn_of_changes(log.warning, ray_internals.DATA_STEPS)
            from curator_slurm.executors.backends.ray_data.operators import plan_operators
            from curator_slurm.executors.backends.ray_data.placement import Placement
            from curator_slurm.executors.backends.ray_data.run import DataRun

            outputs: list[Any] = []
            patience = NodePatience(*self.resource_wait)

            def place() -> Placement:
                count = partial(count_nodes, ray.nodes(), ignore_head_node=self.ignore_head_node)
                placement = Placement(
                    plan_operators(adapters, count), ignore_head_node=self.ignore_head_node, patience=patience
                )
                placement.check()
                return placement

            def run_round(placement: Placement) -> None:
                nonlocal outputs
                run = DataRun(placement, self.policy)
                monitor.progress.gauge(0, expected=len(tasks))
                with _Poller(monitor, run.updates, run.close):
                    outputs = run.execute(tasks, monitor.progress.unfinished, monitor.drain.check_time)
                monitor.drain.check_end()
                monitor.check_counts(len(tasks), len(outputs))

            # Ray Data recomputes lost blocks by itself; where it gives up, all sources run again.
            run_rounds(place, run_round, monitor, Sources(len(stages), tasks), dead_nodes, patience)
        return outputs


class _Poller:
    """Carries reports from the ledger to the monitor while Ray Data works, and the rest at the end.

    In the other direction it tells the ledger that the run drains.
    """

    def __init__(self, monitor: RunMonitor, updates: Callable[[], Any], close: Callable[[int], None]) -> None:
        self._monitor = monitor
        self._updates = updates
        self._close = close
        self._closed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="ledger")
        self._error: Exception | None = None

    def __enter__(self) -> _Poller:
        self._thread.start()
        return self

    def __exit__(self, _kind: Any, error: BaseException | None, _traceback: Any) -> None:
        self._stop.set()
        self._thread.join()
        self._take()
        if self._error is not None:
            raise self._error from None
        if isinstance(error, Exception):
            raise executor_error(error) or StageError("a stage", "Ray Data", short_error(error), str(error)) from None

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._take()

    def _take(self) -> None:
        gate = self._monitor.drain
        try:
            if not self._closed and gate.is_closed(gate.last_closed):
                self._close(gate.last_closed)
                self._closed = True
            update = self._updates()
            if update.dropped:
                gate.drop()
            for stage, workers in update.workers.items():
                self._monitor.progress.gauge(stage, workers=workers)
            for stage, report in update.reports:
                self._monitor.record(stage, report)
        except Exception as error:
            self._error = self._error or error
