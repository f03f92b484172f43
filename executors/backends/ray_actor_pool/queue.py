"""Tasks that wait for a stage, as the driver knows them: references and counts. Payloads stay in the object store."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.executors.adapter.batch_report import BatchReport

_LOOK_AHEAD = 32


@dataclass(eq=False)
class TaskBlock:
    """A list of tasks in the object store, made by one call and consumed whole or in slices."""

    ref: Any
    count: int
    nbytes: int
    groups: Sequence[int]
    """The group of sources of each task."""
    node_id: str = ""
    """Of the worker that made it; empty for what the driver has put there."""

    def all(self) -> Slice:
        return Slice(self, 0, self.count)


@dataclass(frozen=True)
class Slice:
    """Consecutive tasks of a part."""

    part: TaskBlock
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

    @property
    def front(self) -> Slice | None:
        """What the next batch begins with."""
        return self._slices[0] if self._slices else None

    def bring_forward(self, node_id: str) -> None:
        """Let the first slice that lies on this node be the next, if there is one among those soon to be taken."""
        for index, piece in enumerate(itertools.islice(self._slices, _LOOK_AHEAD)):
            if piece.part.node_id == node_id:
                del self._slices[index]
                self._slices.appendleft(piece)
                return

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


def singles(batch: Batch) -> list[Batch]:
    """A batch as batches of one task."""
    queue = TaskQueue()
    for piece in batch:
        queue.put(piece)
    return [queue.take(1) for _ in range(queue.tasks)]


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


def groups_of(batches: list[Batch]) -> list[int]:
    """The group of every task, in the order in which a worker gets them."""
    return [group for batch in batches for piece in batch for group in piece.groups]
