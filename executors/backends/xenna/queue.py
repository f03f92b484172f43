"""A replacement for the engine's queue between two stages that counts tasks instead of objects."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from typing import Any

import ray

from curator_slurm.executors.backends.xenna.chunks import Chunk, ChunkBuffer, Piece, cut, join, join_chunks, select
from curator_slurm.executors.backends.xenna.engine.actor_pool import EngineTask


class SizedTask(EngineTask):
    """A batch of the engine whose objects hold a known number of tasks each."""

    def __init__(self, refs: list[Any], node_id: str | None, sizes: list[int]) -> None:
        super().__init__(refs, node_id)
        self.sizes = sizes


class ChunkQueue:
    """Replaces the engine's queue during a run.

    All numbers are tasks, so batch sizes, back pressure and autoscaling keep their meaning. A call of the engine
    costs some 10 ms, so a call of tiny batches gets several of them: `more` says how many besides the first, from
    the number of tasks that wait.
    """

    def __init__(
        self, batch_size: int | None = None, more: Callable[[int], int] = lambda _waiting: 0, window: int = 100
    ) -> None:
        self._buffer = ChunkBuffer()
        self._batch_size = batch_size
        self._more = more
        self._produced: collections.deque[int] = collections.deque(maxlen=window)
        self.by_node_id = _Intake(self._add)

    def _add(self, place: str | None, item: Any, size: int) -> None:
        for piece in cut(item, size, self._batch_size) if size else ():
            self._buffer.add(place, piece, len(piece))

    def __len__(self) -> int:
        return len(self._buffer)

    def __bool__(self) -> bool:
        return len(self._buffer) > 0

    def avg_samples_per_task(self) -> float | None:
        """Recent average number of tasks that a batch of the upstream stage produced."""
        return sum(self._produced) / len(self._produced) if self._produced else None

    def add_task(self, task: SizedTask) -> None:
        """Add what a worker returned for one batch."""
        for ref, size in zip(task.task_data, task.sizes, strict=True):
            self._add(task.origin_node_id, ref, size)
        if task.sizes:
            self._produced.append(sum(task.sizes))

    def maybe_get_batch(self, stage_batch_size: int) -> Any:
        """A batch of exactly this many tasks and perhaps some more such batches, or None while there are too few."""
        if stage_batch_size <= 0:
            raise ValueError("a batch holds at least one task")
        taken = self._buffer.take(stage_batch_size)
        if taken is None:
            return None
        pieces, place = taken
        for _ in range(self._more(len(self._buffer))):
            following = self._buffer.take(stage_batch_size)
            if following is None:
                break
            pieces += following[0]
        return EngineTask(objects(pieces), place)

    def get_all_samples(self) -> list[Any]:
        """Empty the queue; used for the results, whose chunks have not been cut."""
        return [piece.item for piece in self._buffer.drain()]


def objects(pieces: Sequence[Piece]) -> list[Any]:
    """The arguments of a call: chunks held by the driver are joined, references may become a selection."""
    selection = select(pieces)
    if isinstance(pieces[0].item, Chunk):
        chunks = [piece.item for piece in join(pieces)]
        return [selection.of(selection.chunks) if selection else join_chunks(chunks)]
    if selection is None:
        return [piece.item for piece in join(pieces)]
    return [ray.put(selection)]


class _Intake:
    """Supports how the engine fills its input queue: ``queue.by_node_id[None].extend(inputs)``."""

    def __init__(self, add: Callable[[str | None, Any, int], None]) -> None:
        self._add = add

    def __getitem__(self, node_id: str | None) -> _Lane:
        return _Lane(self._add, node_id)


class _Lane:
    def __init__(self, add: Callable[[str | None, Any, int], None], node_id: str | None) -> None:
        self._add = add
        self._node_id = node_id

    def extend(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            self._add(self._node_id, chunk, len(chunk))

    def append(self, chunk: Chunk) -> None:
        self.extend([chunk])


class BatchGrouping:
    """Replaces the engine's ``grouping`` module in batch mode, where results are plain lists.

    ``sizes`` is filled by the pools with the number of tasks in every object they hand over.
    """

    def __init__(self) -> None:
        self.sizes: dict[Any, int] = {}

    def split_by_chunk_size(self, items: Any, batch_size: int) -> list[list[Any]]:
        """Batches of exactly this many tasks, and one with the rest."""
        buffer = ChunkBuffer()
        for item in items:
            buffer.add(None, item, len(item) if isinstance(item, Chunk) else self.sizes.pop(item))
        batches = []
        while buffer:
            taken = buffer.take(min(batch_size, len(buffer)))
            if taken is None:
                raise RuntimeError("tasks of one stage cannot be grouped into batches of the next")
            batches.append(taken[0])
        return batches
