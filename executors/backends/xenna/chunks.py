"""Several tasks in one object: fewer objects to store, locate and fetch, and batches of exact size nevertheless.

cosmos-xenna keeps every sample as an object of its own, and pays a few round trips for each. Here one
object is a `Chunk` of tasks, made by the stage that produced them for the batch size of the stage that
takes them. Chunk sizes form a chain of divisors of that batch size (32, 16, 8, 4, 2, 1), so that any
chunks holding a batch's worth of tasks or more contain some that add up to exactly one batch. Where
tasks are small a chunk holds several batches, and is handed out in pieces of one batch.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

_CHUNK_BYTES = 1 << 20
_MAX_BATCHES = 64


@dataclass(frozen=True)
class Chunk:
    """Tasks that travel between stages as one object, and the group of sources of each."""

    tasks: list[Any]
    groups: list[int] = field(default_factory=list)

    def __repr__(self) -> str:
        """Without payloads: the engine formats every call for its log, whether it is written or not."""
        return f"{type(self).__name__}({len(self.tasks)} tasks)"

    def __len__(self) -> int:
        return len(self.tasks)

    def slice(self, start: int, stop: int) -> Chunk:
        """Some consecutive tasks."""
        return Chunk(self.tasks[start:stop], self.groups[start:stop])


@dataclass(frozen=True)
class Piece:
    """Consecutive tasks of a chunk, or of a reference to one, that holds ``total``."""

    item: Any
    start: int
    stop: int
    total: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ChunkSlices:
    """References to chunks of which only some tasks are selected; each span is (position of the chunk, start, stop).

    It holds the references itself: the engine cannot pass one object to two calls of a worker.
    """

    chunks: list[Any]
    spans: list[tuple[int, int, int]]

    def of(self, chunks: Sequence[Chunk]) -> Chunk:
        """The selected tasks, taken from the chunks."""
        return join_chunks([chunks[index].slice(start, stop) for index, start, stop in self.spans])


def select(pieces: Sequence[Piece]) -> ChunkSlices | None:
    """The chunks that the pieces belong to and which of their tasks are selected; None: all of each."""
    pieces = join(pieces)
    if all(len(piece) == piece.total for piece in pieces):
        return None
    items = {id(piece.item): piece.item for piece in pieces}
    where = {key: index for index, key in enumerate(items)}
    return ChunkSlices(list(items.values()), [(where[id(piece.item)], piece.start, piece.stop) for piece in pieces])


def cut(item: Any, size: int, batch_size: int | None) -> list[Piece]:
    """A chunk of this many tasks as pieces of at most one batch."""
    step = min(size, batch_size) if batch_size else size
    return [Piece(item, start, start + step, size) for start in range(0, size, step)]


def join(pieces: Sequence[Piece]) -> list[Piece]:
    """Join adjacent pieces of the same chunk."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and last.item is piece.item and last.stop == piece.start:
            joined[-1] = Piece(last.item, last.start, piece.stop, last.total)
        else:
            joined.append(piece)
    return joined


def join_chunks(chunks: Sequence[Chunk]) -> Chunk:
    """All tasks of some chunks."""
    return Chunk(
        [task for chunk in chunks for task in chunk.tasks], [group for chunk in chunks for group in chunk.groups]
    )


def chosen(objects: Sequence[Any]) -> Chunk:
    """The input tasks of a call, from the chunks or selections it was given."""
    return join_chunks([item.of(ray.get(item.chunks)) if isinstance(item, ChunkSlices) else item for item in objects])


@dataclass(frozen=True)
class Report:
    """The first object a worker returns for every batch: small, and read by the driver."""

    sizes: list[int]
    """How many tasks each of the chunks that follow holds."""
    note: Any
    """The adapter's report on the batch: tasks in and out, failures."""
    groups: list[int] = field(default_factory=list)
    """The group of sources of each task of the batch."""
    firsts: bool = False
    """Whether the outputs replace the only initial task as sources."""
    failed: bool = False
    """Whether some task of the batch failed, for stages that want a fresh worker after a failure."""
    batches: int = 1
    """Number of batches in the call."""
    nbytes: int = 0
    """Approximate size of the output."""


def chunk_sizes(batch_size: int) -> list[int]:
    """A chain of divisors of ``batch_size``, largest first, each dividing the one before."""
    sizes = [batch_size]
    while sizes[-1] > 1:
        value = sizes[-1]
        sizes.append(value // _smallest_factor(value))
    return sizes


def _smallest_factor(value: int) -> int:
    factor = 2
    while factor * factor <= value:
        if value % factor == 0:
            return factor
        factor += 1
    return value


def batches_per_chunk(nbytes: int, tasks: int, batch_size: int | None) -> int:
    """How many batches of tasks of about this size to put into one object: reading a piece transfers all of it."""
    if not tasks or not batch_size:
        return 1
    return max(1, min(_MAX_BATCHES, _CHUNK_BYTES * tasks // max(1, nbytes * batch_size)))


def make_chunks(tasks: Sequence[Any], groups: Sequence[int], batch_size: int | None, batches: int = 1) -> list[Chunk]:
    """Split tasks into as few chunks as the chain allows; None: they are not batched again.

    ``batches`` is how many full batches may share a chunk.
    """
    if batch_size is None:
        return [Chunk(list(tasks), list(groups))] if tasks else []
    chunks = []
    start = 0
    while batches > 1 and (size := min(batches, (len(tasks) - start) // batch_size) * batch_size):
        chunks.append(Chunk(list(tasks[start : start + size]), list(groups[start : start + size])))
        start += size
    for size in chunk_sizes(batch_size):
        while len(tasks) - start >= size:
            chunks.append(Chunk(list(tasks[start : start + size]), list(groups[start : start + size])))
            start += size
    return chunks


@dataclass
class ChunkBuffer:
    """Chunks waiting for a stage, by the node they come from; hands out batches of an exact size."""

    by_place: dict[Hashable, dict[int, collections.deque[Any]]] = field(default_factory=dict)
    total: int = 0

    def __len__(self) -> int:
        return self.total

    def add(self, place: Hashable, item: Any, size: int) -> None:
        """Append one chunk of ``size`` tasks."""
        if size < 1:
            return
        sizes = self.by_place.setdefault(place, {})
        sizes.setdefault(size, collections.deque()).append(item)
        self.total += size

    def take(self, wanted: int) -> tuple[list[Any], Hashable] | None:
        """Chunks of ``wanted`` tasks in total, and the node that most come from; None while there are too few.

        Chunks of one place are preferred, so that a batch is fetched from one node where possible.
        """
        if self.total < wanted:
            return None
        places = [place for place in self.by_place if self._held(place)]
        random.shuffle(places)
        for place in places:
            if self._held(place) >= wanted and (items := self._take_from([place], wanted)):
                return items, place
        taken = self._take_from(places, wanted)
        return None if taken is None else (taken, places[0])

    def drain(self) -> list[Any]:
        """Everything, in no particular order."""
        items = [item for sizes in self.by_place.values() for waiting in sizes.values() for item in waiting]
        self.by_place.clear()
        self.total = 0
        return items

    def _held(self, place: Hashable) -> int:
        return sum(size * len(waiting) for size, waiting in self.by_place[place].items())

    def _take_from(self, places: Sequence[Hashable], wanted: int) -> list[Any] | None:
        """Largest chunks first; with a chain of divisors this reaches ``wanted`` exactly."""
        chosen: list[tuple[Hashable, int]] = []
        missing = wanted
        for size, place in self._largest_first(places):
            if missing == 0:
                break
            if size > missing:
                continue
            count = min(missing // size, len(self.by_place[place][size]))
            chosen += [(place, size)] * count
            missing -= size * count
        if missing:
            return None
        self.total -= wanted
        return [self.by_place[place][size].popleft() for place, size in chosen]

    def _largest_first(self, places: Sequence[Hashable]) -> Iterator[tuple[int, Hashable]]:
        pairs = [(size, place) for place in places for size in self.by_place[place]]
        return iter(sorted(pairs, key=lambda pair: pair[0], reverse=True))
