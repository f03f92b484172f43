"""Draining: from a moment on no source partition begins; what has begun may end, until a deadline.

The process that runs the pipeline is told by `request`: in a run by its driver, before Slurm takes the nodes away. All
back ends stop in the same place, the stage that takes the partitions of the source stage, each in its own way. A run
whose finished partitions are not recorded has nothing to gain by that: it goes on until the deadline.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from curator_slurm.executors.resume.checkpoint import Checkpoint
from curator_slurm.executors.task_failures import DrainedError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drain:
    """Why, and until when (seconds since the epoch)."""

    reason: str
    until: float


_requested: Drain | None = None


def request(reason: str, until: float) -> None:
    """Begin no source any more, and end everything at `until`; a later call may change the deadline."""
    global _requested
    _requested = Drain(reason, until)


def requested() -> Drain | None:
    """What this process has been told; None while it has not been."""
    return _requested


def forget() -> None:
    """Run on as if nothing had been said."""
    global _requested
    _requested = None


class DrainGate:
    """What draining means for one run."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._said = False
        self._dropped = False

    @property
    def last_closed(self) -> int:
        """Position of the last stage that begins nothing while the run drains: the one that takes the partitions."""
        return self._checkpoint.source_stage + 1

    def is_closed(self, stage: int) -> bool:
        """Whether tasks that wait for the stage with this position are to be dropped."""
        if requested() is None or not self._checkpoint.is_recorded:
            return False
        if not self._said:
            self._said = True
            log.info("draining (%s): no source partition begins any more", requested().reason)  # type: ignore[union-attr]
        return stage <= self.last_closed

    def drop(self) -> None:
        """Some tasks have been dropped: the run cannot be complete."""
        self._dropped = True

    def check_time(self) -> None:
        """To be called often.

        Raises:
            DrainedError: the deadline has come.
        """
        drain = requested()
        if drain is not None and time.time() > drain.until:
            raise self._error("its time was over before all of what had begun was finished")

    def check_begin(self) -> None:
        """Before a round.

        Raises:
            DrainedError: the run is to drain, and nothing of it has begun, or what had is lost.
        """
        if requested() is not None:
            raise self._error("nothing begins any more")

    def check_end(self) -> None:
        """When all that has begun is finished.

        Raises:
            DrainedError: that was not everything.
        """
        if self._dropped:
            raise self._error("all that had begun is finished")

    def _error(self, what: str) -> DrainedError:
        drain, checkpoint = requested(), self._checkpoint
        finished, left = (checkpoint.finished_count, checkpoint.open_count) if checkpoint.is_recorded else (None, None)
        counts = "" if finished is None else f"; {finished} source partitions finished, {left} left"
        return DrainedError(f"drained ({drain.reason if drain else ''}): {what}{counts}", finished, left)
