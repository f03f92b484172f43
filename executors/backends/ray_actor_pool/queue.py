"""What the driver knows of the data: references and counts. Payloads stay in the object store."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.executors.adapter.adapter import BatchReport, shift

KEEP_BELOW = 32 << 20
"""What the first stage makes of the only initial task is kept by the driver, if it is no more than this."""
_SAMPLE = 16


@dataclass(eq=False)
class Part:
    """A list of tasks in the object store, made by one call and consumed whole or in slices."""

    ref: Any
    count: int
    nbytes: int
    groups: Sequence[int]
    """The group of sources of each task."""

    def all(self) -> Slice:
        return Slice(self, 0, self.count)


@dataclass(frozen=True)
class Slice:
    """Consecutive tasks of a part."""

    part: Part
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def groups(self) -> Sequence[int]:
        return self.part.groups[self.start : self.stop]

    @property
    def nbytes(self) -> int:
        return self.part.nbytes * len(self) // max(1, self.part.count)

    def cut(self, count: int) -> tuple[Slice, Slice]:
        """The first `count` tasks, and the rest."""
        middle = self.start + count
        return Slice(self.part, self.start, middle), Slice(self.part, middle, self.stop)


Batch = tuple[Slice, ...]
"""What one `process_batch` gets, as slices of parts."""


def batch_len(batch: Batch) -> int:
    return sum(len(piece) for piece in batch)


class TaskQueue:
    """Tasks that wait for a stage, in order, handed out in batches."""

    def __init__(self) -> None:
        self._slices: deque[Slice] = deque()
        self.tasks = 0
        self.nbytes = 0

    def __len__(self) -> int:
        return self.tasks

    def put(self, piece: Slice) -> None:
        self._slices.append(piece)
        self.tasks += len(piece)
        self.nbytes += piece.nbytes

    def take(self, count: int) -> Batch:
        """The next tasks, at most `count`."""
        taken: list[Slice] = []
        while count > 0 and self._slices:
            piece = self._slices.popleft()
            if len(piece) > count:
                piece, rest = piece.cut(count)
                self._slices.appendleft(rest)
            taken.append(piece)
            count -= len(piece)
            self.tasks -= len(piece)
            self.nbytes -= piece.nbytes
        if not self._slices:
            self.nbytes = 0  # rounding
        return tuple(taken)


@dataclass
class CallResult:
    """What a worker says about one call; the only thing of it that the driver fetches."""

    report: BatchReport
    counts: list[int]
    nbytes: list[int]


@dataclass
class CallSpec:
    """One call for a worker: for each batch, (argument, start, stop) of its slices."""

    batches: list[list[tuple[int, int, int]]] = field(default_factory=list)
    parts: int = 1


def describe(batches: list[Batch], parts: int) -> tuple[CallSpec, list[Any]]:
    """The batches as a call: its description and the references it is called with."""
    refs: list[Any] = []
    index_of: dict[int, int] = {}
    spec = CallSpec(parts=parts)
    for batch in batches:
        entry = []
        for piece in batch:
            index = index_of.get(id(piece.part))
            if index is None:
                index = index_of[id(piece.part)] = len(refs)
                refs.append(piece.part.ref)
            entry.append((index, piece.start, piece.stop))
        spec.batches.append(entry)
    return spec, refs


def merge_reports(reports: list[BatchReport]) -> BatchReport:
    """One report for several batches of one call."""
    if len(reports) == 1:
        return reports[0]
    starts = list(itertools.accumulate((report.tasks_in for report in reports), initial=0))
    parents = [
        parent for report, start in zip(reports, starts, strict=False) for parent in shift(report.parents, start)
    ]
    return BatchReport(
        tasks_in=sum(report.tasks_in for report in reports),
        tasks_out=sum(report.tasks_out for report in reports),
        tasks_filtered=sum(report.tasks_filtered for report in reports),
        items_out=sum(report.items_out for report in reports),
        seconds=sum(report.seconds for report in reports),
        failures=tuple(failure for report in reports for failure in report.failures),
        node=reports[0].node if reports else "",
        kind=next((report.kind for report in reports if report.kind), ""),
        items_in=sum(report.items_in for report in reports),
        items_failed=sum(report.items_failed for report in reports),
        parents=parents,
        failed_inputs=[
            start + position
            for report, start in zip(reports, starts, strict=False)
            for position in report.failed_inputs
        ],
        sources=tuple(entry for report in reports for entry in report.sources),
        blended=tuple(source for report in reports for source in report.blended),
    )


def groups_of(batches: list[Batch]) -> list[int]:
    """The group of every task, in the order in which a worker gets them."""
    return [group for batch in batches for piece in batch for group in piece.groups]


def split_evenly(tasks: list[Any], parts: int) -> list[list[Any]]:
    """At most `parts` lists of neighbours, none of them empty."""
    parts = min(parts, len(tasks))
    bounds = [len(tasks) * index // parts for index in range(parts + 1)] if parts else [0]
    return [tasks[start:stop] for start, stop in itertools.pairwise(bounds)]


def is_plain(task: Any) -> bool:
    """Whether nothing in a task can be a view of the object store: such tasks need no copy to outlive it."""
    attributes = dict(vars(task)) if hasattr(task, "__dict__") else {"data": task}
    attributes.pop("_stage_perf", None)  # numbers, whatever the class
    return all(map(_is_plain_value, attributes.values()))


def _is_plain_value(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain_value, value.values()))
    if isinstance(value, (list, tuple)):
        return len(value) <= _SAMPLE and all(map(_is_plain_value, value))
    return value is None or type(value) in (bytes, str, int, float, bool)


def size_of(value: Any) -> int:
    """About how many bytes a payload takes; cheap, and good enough for back pressure."""
    if isinstance(value, (bytes, bytearray, str)):
        return len(value)
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return nbytes
    if hasattr(value, "memory_usage"):  # pandas
        return _frame_size(value)
    if isinstance(value, dict):
        return 64 + sum(size_of(inner) for inner in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        sample = [inner for inner, _ in zip(value, range(_SAMPLE), strict=False)]
        return 64 + (sum(size_of(inner) for inner in sample) * len(value) // len(sample) if sample else 0)
    data = getattr(value, "data", None)
    return 200 + size_of(data) if data is not None else sys.getsizeof(value)


def _frame_size(frame: Any) -> int:
    try:
        head = frame.head(_SAMPLE)
        per_row = int(head.memory_usage(index=False, deep=True).sum()) / max(1, len(head))
        return int(per_row * len(frame)) + 200
    except Exception:  # a frame of another library
        return sys.getsizeof(frame)
