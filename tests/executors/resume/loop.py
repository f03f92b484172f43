"""An executor in this process that tracks sources as the back ends do, and crashes when told to."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from curator_slurm.common.finished_work import Work
from curator_slurm.executors import EmptyTask
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.resume.checkpoint import Checkpoint
from curator_slurm.executors.resume.tracker import partition_of
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.task_failures import FailurePolicy


class Crash(BaseException):
    """The driver is gone."""


class TrackedLoop:
    """Runs whatever batch it likes next; `crash_after` batches the run ends, as if it were killed."""

    supports_checkpoint = True

    def __init__(self, seed: int = 0, crash_after: int | None = None, policy: FailurePolicy | None = None) -> None:
        self._random = random.Random(seed)
        self._crash_after = crash_after
        self._policy = policy or FailurePolicy()
        self.batches = 0

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        with RunMonitor("loop", stages, self._policy) as monitor:
            adapters = [
                StageAdapter(stage, self._policy, tracking=monitor.checkpoint.tracking(index))
                for index, stage in enumerate(stages)
            ]
            finished = _note_finished(monitor.checkpoint)
            waiting: list[list[Any]] = [list(initial_tasks or [EmptyTask()]), *([] for _ in stages)]
            while any(waiting[:-1]):
                index = self._next_stage(waiting, adapters)
                tasks, waiting[index] = self._take(waiting[index], adapters[index].batch_size)
                outputs, report = adapters[index].process(tasks)
                self.batches += 1
                if self.batches == self._crash_after:
                    raise Crash  # done, but nobody has heard of it
                monitor.record(index, report)
                waiting[index + 1] += outputs
                on_their_way = {partition_of(task) for queue in waiting[:-1] for task in queue}
                assert not finished & on_their_way, "recorded as finished while tasks are on their way"
            monitor.check_counts(len(initial_tasks or [1]), len(waiting[-1]))
            return waiting[-1]

    def _next_stage(self, waiting: list[list[Any]], adapters: list[StageAdapter]) -> int:
        ready = [index for index, adapter in enumerate(adapters) if waiting[index]]
        full = [index for index in ready if len(waiting[index]) >= adapters[index].batch_size]
        return self._random.choice(full) if full else ready[0]

    def _take(self, tasks: list[Any], count: int) -> tuple[list[Any], list[Any]]:
        self._random.shuffle(tasks)
        return tasks[:count], tasks[count:]


def _note_finished(checkpoint: Checkpoint) -> set[str]:
    """What will be recorded as finished, as it happens."""
    finished: set[str] = set()
    store = checkpoint._store
    if store is not None:
        append = store.append

        def noting(sources: Iterable[str], work: Work | None = None) -> None:
            finished.update(sources := list(sources))
            append(sources, work)

        store.append = noting  # type: ignore[method-assign]
    return finished
