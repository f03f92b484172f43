"""How many workers each stage has on Ray Data, which does not say: counted from what workers report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable

RECENT_S = 2.0
"""How long a worker counts after the end of a batch: the next one may be about to begin."""


class DataWorkers:
    """Actors count from their setup to their teardown, workers of plain tasks while they process one.

    A worker that dies counts until another one takes over its work.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._actors: set[tuple[int, str]] = set()
        self._at: dict[Hashable, tuple[int, str]] = {}
        self._recent: dict[tuple[int, str], float] = {}

    def join(self, stages: list[int], worker: str) -> None:
        """An actor is ready for these stages."""
        self._actors.update((stage, worker) for stage in stages)

    def leave(self, stages: list[int], worker: str) -> None:
        """An actor is done."""
        for stage in stages:
            self._forget((stage, worker))

    def begin(self, stage: int, work: Hashable, worker: str) -> None:
        """A worker starts on some work; another one that was working on it must have died."""
        before = self._at.get(work)
        if before is not None and before != (stage, worker):
            self._forget(before)
        self._at[work] = (stage, worker)

    def end(self, work: Hashable) -> None:
        """The work is done."""
        worker = self._at.pop(work, None)
        if worker is not None:
            self._recent[worker] = self._clock()

    def count(self) -> dict[int, int]:
        """Stage -> its workers; 0 for a stage that had some."""
        now = self._clock()
        recent = {worker for worker, ended in self._recent.items() if now - ended < RECENT_S}
        active = Counter(stage for stage, _ in {*self._actors, *self._at.values(), *recent})
        return {stage: active[stage] for stage in {*active, *(stage for stage, _ in self._recent)}}

    def _forget(self, worker: tuple[int, str]) -> None:
        self._actors.discard(worker)
        self._recent[worker] = float("-inf")
