"""One run as its pools see it: limits and policy on the way in, reports and losses on the way out."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from loguru import logger

from curator_slurm.executors.backends.xenna.chunks import Chunk, Report, chosen
from curator_slurm.executors.run.blame import Identity, give_up, identity_of
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.ray_errors import fetch
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import FailurePolicy, short_error

if TYPE_CHECKING:  # it derives from a class of the engine that another version may not have
    from curator_slurm.executors.backends.xenna.pool import RunPool

_GAUGE_S = 0.5
_CALL_S = 0.25
"""Target duration of a call of tiny batches."""
_MAX_BATCHES = 64
_MAX_CALL_BYTES = 32 << 20


@dataclass
class XennaRun:
    """Follows one run of the engine; its pools call it from the engine's main loop."""

    monitor: RunMonitor
    sources: Sources
    policies: Sequence[FailurePolicy]
    limits: Sequence[int | None]
    offset: int
    """Position in the pipeline of the first stage that takes part."""
    pools: list[RunPool] = field(default_factory=list)
    workers_lost: int = 0
    prepared: set[tuple[int, str]] = field(default_factory=set)
    """Stages and the nodes where `setup_on_node` has been called."""
    calls: Counter[int] = field(default_factory=Counter)
    """Completed calls, by stage."""
    task_s: dict[int, float] = field(default_factory=dict)
    """Average seconds of a task, by stage."""
    _gauged: float = 0.0
    _batch_s: dict[int, float] = field(default_factory=dict)
    _task_bytes: dict[int, float] = field(default_factory=dict)
    """Average size of an input task, by stage."""
    _out_bytes: dict[int, float] = field(default_factory=dict)
    """Average size of the output per input task, by stage."""

    def policy(self, stage: int) -> FailurePolicy:
        """What to do about failures in a stage."""
        return self.policies[stage]

    def add_pool(self, pool: RunPool) -> int:
        """The engine makes its pools in the order of the stages."""
        self.pools.append(pool)
        return self.offset + len(self.pools) - 1

    def worker_limit(self, stage: int) -> int | None:
        """Maximum number of workers of a stage."""
        return self.limits[stage]

    def on_report(self, stage: int, report: Report, chunks: Sequence[Any]) -> None:
        """A call has completed; `chunks` are references to its outputs."""
        self.monitor.progress.gauge(stage, workers=self.pools[stage - self.offset].ready_count)
        last = stage + 1 == len(self.policies)
        outputs: list[Chunk] = fetch(list(chunks)) if last or report.firsts else []
        if report.note.tasks_in:
            now = report.note.seconds / report.batches
            self._batch_s[stage] = 0.7 * self._batch_s.get(stage, now) + 0.3 * now
            self._out_bytes[stage] = report.nbytes / report.note.tasks_in
            each = report.note.seconds / report.note.tasks_in
            self.task_s[stage] = 0.7 * self.task_s.get(stage, each) + 0.3 * each
            self.calls[stage] += 1
        if report.note.tasks_out:
            self._task_bytes[stage + 1] = report.nbytes / report.note.tasks_out
        self.monitor.record(stage, report.note)
        groups = self.sources.record(stage, report.groups, report.note)
        if report.firsts:
            self.sources.replace_single([task for chunk in outputs for task in chunk.tasks], groups)
        elif last:
            for chunk in outputs:
                self.sources.finish(chunk.tasks, chunk.groups)

    def more_batches(self, stage: int, batch_size: int, waiting: int) -> int:
        """How many batches a call gets besides its first, if `waiting` more tasks are there.

        0 before the stage's speed is known.
        """
        if stage not in self._batch_s:
            return 0
        by_time = _CALL_S / max(self._batch_s[stage], 1e-6)
        by_share = waiting / batch_size / (2 * max(1, self.pools[stage - self.offset].ready_count))
        largest = max(self._task_bytes.get(stage, 0.0), self._out_bytes[stage], 1.0)
        by_bytes = _MAX_CALL_BYTES / (largest * batch_size)
        return max(0, int(min(by_time, by_share, by_bytes, _MAX_BATCHES)) - 1)

    def on_worker_lost(self, stage: int, node_id: str, error: BaseException) -> None:
        """A worker died; its tasks run again."""
        self.workers_lost += 1
        logger.warning(
            f"a worker of stage {self._label(stage)!r} died on node {node_id[:12]}; its tasks run again "
            f"({short_error(error)})"
        )

    def on_node_prepared(self, stage: int, node_id: str) -> None:
        """`setup_on_node` has been called there."""
        self.prepared.add((stage, node_id))

    def on_given_up(self, stage: int, refs: list[Any], error: BaseException, deaths: int) -> None:
        """Too many workers have died at a task."""
        task, group = ray.get(_identify.remote(*refs))
        report = give_up(self._label(stage), self.policies[stage], task, deaths, str(error))
        self.monitor.record(stage, report)
        self.sources.record(stage, [group], report)

    def on_round(self) -> None:
        """One iteration of the engine's loop: report the numbers of workers at intervals.

        Raises:
            DrainedError: the time for draining was over.
        """
        self.monitor.drain.check_time()
        now = time.monotonic()
        if now - self._gauged < _GAUGE_S:
            return
        self._gauged = now
        for index, pool in enumerate(self.pools, self.offset):
            self.monitor.progress.gauge(index, workers=pool.ready_count)

    def is_closed(self, stage: int) -> bool:
        """Whether a stage is to begin nothing any more, because the run drains."""
        return self.monitor.drain.is_closed(stage)

    def on_dropped(self) -> None:
        """Tasks that waited for a stage have been dropped."""
        self.monitor.drain.drop()

    def stop(self) -> None:
        """End all workers, including those that the engine has left."""
        for pool in self.pools:
            try:
                pool.stop()
            except Exception as error:
                logger.warning(f"could not stop the workers of {pool.name}: {error}")

    def _label(self, stage: int) -> str:
        return self.monitor.progress.stages[stage].name


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _identify(*objects: Any) -> tuple[Identity, int]:
    """A single task, and the group of its sources."""
    chunk = chosen(objects)
    return identity_of(chunk.tasks[0]), chunk.groups[0]
