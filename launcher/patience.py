"""Waiting that is measured in what was seen, and not by the clock alone.

Storage may stall for minutes (a server that restarts, a grace period, a frozen file system), and Slurm may suspend a
job. A clock that goes on meanwhile makes every limit pass at once, in the middle of a run that is fine.
"""

from __future__ import annotations

import time


class Patience:
    """Seconds of waiting, summed up over steps that took no longer than `step_s`.

    Of a longer time between two ticks no more than one step counts: we were stopped then, or stuck in a call to
    storage, and saw nothing.
    """

    def __init__(self, limit_s: float, step_s: float) -> None:
        self.limit_s = limit_s
        self.spent_s = 0.0
        self._step_s = step_s
        self._last = time.monotonic()

    def tick(self) -> float:
        """Count the time since the last tick; gives the seconds spent so far."""
        now = time.monotonic()
        self.spent_s += min(now - self._last, self._step_s)
        self._last = now
        return self.spent_s

    def skip(self) -> None:
        """The time since the last tick does not count."""
        self._last = time.monotonic()

    def restart(self) -> None:
        """Begin anew."""
        self.spent_s = 0.0
        self.skip()

    def is_over(self) -> bool:
        """Tick, and say whether the limit is passed."""
        return self.tick() > self.limit_s
