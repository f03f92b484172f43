"""Progress of one stage: what is counted, how fast it goes, and what can be told from it about the stages together."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

from curator_slurm.common.finished_work import COUNTED, WorkBefore
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.run.sources import Tally

_RATE_WINDOW_S = 60.0
_RATE_STEP_S = 0.5
_LEAST_RATE_S = 0.1


class StageProgress:
    """Counts of one stage. `expected` is the number of tasks it will get, where that is known."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks_in = 0
        self.tasks_out = 0
        self.tasks_filtered = 0
        self.tasks_failed = 0
        self.items_in = 0
        self.items_out = 0
        self.items_failed = 0
        self.rows_failed = 0
        self.bytes_in: int | None = None
        self.bytes_out: int | None = None
        self.busy_s = 0.0
        """Of all workers together, also for work that was lost and ran again."""
        self.task_seconds: Counter[float] = Counter()
        """How many tasks took up to so many seconds."""
        self.kind = ""
        self.workers: int | None = None
        self.workers_peak: int | None = None
        self.expected: int | None = None
        self._history: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])

    def add(self, report: BatchReport) -> None:
        """Count one batch."""
        self.tasks_in += report.tasks_in
        self.tasks_out += report.tasks_out
        self.tasks_filtered += report.tasks_filtered
        self.tasks_failed += len(report.failures)
        self.items_in += report.items_in
        self.items_out += report.items_out
        self.items_failed += report.items_failed
        self.rows_failed += sum(record.rows or 1 for _, record in report.rows_left_out)
        if report.bytes_in is not None and report.bytes_out is not None:
            self.bytes_in = (self.bytes_in or 0) + report.bytes_in
            self.bytes_out = (self.bytes_out or 0) + report.bytes_out
        self.busy_s += report.seconds
        if report.tasks_in and report.seconds:
            self.task_seconds[bucket_of(report.seconds / report.tasks_in)] += report.tasks_in
        self.kind = report.kind or self.kind
        now = time.monotonic()
        history = self._history
        if len(history) > 1 and now - history[-2][0] < _RATE_STEP_S:
            history[-1] = (now, self.tasks_in, self.items_in)
        else:
            history.append((now, self.tasks_in, self.items_in))
        while len(history) > 2 and now - history[0][0] > _RATE_WINDOW_S:
            history.popleft()

    def restore(self, tally: Tally) -> None:
        """Go back to these counts."""
        for name, value in vars(tally).items():
            setattr(self, name, value)
        self._history = deque([(time.monotonic(), self.tasks_in, self.items_in)])

    def set_workers(self, workers: int) -> None:
        """How many workers there are now."""
        self.workers = workers
        self.workers_peak = max(workers, self.workers_peak or 0)

    def rates(self) -> tuple[float | None, float | None]:
        """Tasks and items taken per second over the last minute; None where nothing was."""
        then, tasks, items = self._history[0]
        seconds = time.monotonic() - then
        if seconds < _LEAST_RATE_S or self.tasks_in <= tasks:
            return None, None
        return (self.tasks_in - tasks) / seconds, (self.items_in - items) / seconds


def bucket_of(seconds: float) -> float:
    """The bucket of a histogram: the next power of two, from a millisecond to nine hours."""
    return 2.0 ** min(max(math.ceil(math.log2(seconds)), -10), 15)


def snapshots(stages: Sequence[StageProgress]) -> list[dict[str, Any]]:
    """All stages as plain data.

    What waits for a stage is what the stage before has put out and this one has not finished. How many tasks a stage
    will get is known when the stage before is done; until then it is estimated from what that stage makes of a task.
    """
    found: list[dict[str, Any]] = []
    sent = stages[0].expected if stages else None
    expected, about = sent, float(sent) if sent is not None else None
    eta: float | None = 0.0
    for stage in stages:
        expected = stage.expected if stage.expected is not None else expected
        about = float(expected) if expected is not None else about
        rate, items_rate = stage.rates()
        left = max(0.0, about - stage.tasks_in) if about is not None else None
        own = 0.0 if left == 0 else left / rate if left is not None and rate else None
        eta = max(eta, own) if own is not None and eta is not None else None
        found.append(
            {
                "name": stage.name,
                "tasks_in": stage.tasks_in,
                "tasks_out": stage.tasks_out,
                "tasks_filtered": stage.tasks_filtered,
                "tasks_failed": stage.tasks_failed,
                "items_in": stage.items_in,
                "items_out": stage.items_out,
                "items_failed": stage.items_failed,
                "rows_failed": stage.rows_failed,
                "bytes_in": stage.bytes_in,
                "bytes_out": stage.bytes_out,
                "busy_s": round(stage.busy_s, 3),
                "kind": stage.kind,
                "queued": max(0, sent - stage.tasks_in) if sent is not None else None,
                "workers": stage.workers,
                "workers_peak": stage.workers_peak,
                "expected": expected,
                "expected_about": round(about) if about is not None else None,
                "rate": _rounded(rate),
                "items_rate": _rounded(items_rate),
                "eta_s": round(eta, 1) if eta is not None else None,
            }
        )
        done = expected is not None and stage.tasks_in >= expected
        expected = stage.tasks_out if done else None
        about = about * stage.tasks_out / stage.tasks_in if about is not None and stage.tasks_in else None
        sent = stage.tasks_out
    return found


def with_work_before(stages: Sequence[dict[str, Any]], before: WorkBefore) -> list[dict[str, Any]]:
    """The same with what earlier attempts have finished: the figures of the shard, and not of this attempt alone.

    What is expected grows by it as well. The source stage is given its tasks anew by each attempt.
    """
    work = before.work
    if len(work.counts) != len(stages):
        return list(stages)
    found = []
    for stage, counts, kind in zip(stages, work.counts, work.kinds, strict=True):
        more = dict(zip(COUNTED, counts, strict=True))
        own = {name: stage[name] + count for name, count in more.items()}
        for name in ("expected", "expected_about"):
            own[name] = None if stage[name] is None else stage[name] + more["tasks_in"]
        found.append({**stage, **own, "kind": stage["kind"] or kind})
    return found


def _rounded(rate: float | None) -> float | None:
    return round(rate, 3) if rate is not None else None
