"""Whether another attempt at the shard has begun since: then this one has nothing more to do, and must not publish."""

from __future__ import annotations

from curator_slurm.launcher.runs.attempt_names import base_of
from curator_slurm.launcher.runs.epoch import Epoch, raise_epoch, read_epoch
from curator_slurm.launcher.runs.paths import AttemptPaths


class Fence:
    """The epoch of the attempt that a head is at; `look` is for a thread that may wait for storage."""

    def __init__(self) -> None:
        self._own: tuple[AttemptPaths, Epoch] | None = None
        self._newer: Epoch | None = None
        self.gave_way_to: Epoch | None = None
        """The last one that has superseded an attempt of this head."""

    def begin(self, attempt: AttemptPaths) -> None:
        """The head begins this attempt: earlier ones at the shard are superseded.

        Raises:
            OSError: the storage refuses.
        """
        self._own, self._newer = (attempt, raise_epoch(attempt)), None

    def end(self) -> None:
        """The attempt is over."""
        self._own = self._newer = None

    @property
    def number(self) -> int:
        """The epoch of the present attempt; 0 without one."""
        own = self._own
        return own[1].number if own is not None else 0

    @property
    def newer(self) -> Epoch | None:
        """The attempt that has superseded the present one, by the last look."""
        return self._newer

    def look(self) -> Epoch | None:
        """Read who is the newest; storage that does not answer proves nothing."""
        own = self._own
        if own is None:
            return None
        now = read_epoch(own[0])
        if now is not None and now.attempt != own[1].attempt and self._own is own:
            self._newer = self.gave_way_to = now
        return self._newer

    def has_twin(self, element_id: str) -> bool:
        """Whether it was made by another start of the same element, which has all of its shards, and its job id."""
        return self.gave_way_to is not None and base_of(self.gave_way_to.attempt) == element_id
