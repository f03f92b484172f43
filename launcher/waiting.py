"""Waiting that stands what happens meanwhile: storage that stalls, a job that is suspended, signals that come twice."""

from __future__ import annotations

import contextlib
import os
import select
import time
import weakref


class Patience:
    """Seconds of waiting, summed up over steps that took no longer than `step_s`: measured in what was seen.

    Storage may stall for minutes (a server that restarts, a grace period, a frozen file system), and Slurm may suspend
    a job. A clock that goes on meanwhile makes every limit pass at once, in the middle of a run that is fine. So of a
    longer time between two ticks no more than one step counts: we were stopped then, or stuck in a call to storage.
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


class SignalFlag:
    """A flag that a signal handler sets and others wait for.

    Not an event of `threading`, whose lock is not re-entrant: a handler that sets one while its thread is inside
    `wait`, or inside `set` because a second signal has come, waits for itself for ever. Here a handler writes a byte
    into a pipe, which stays readable from then on.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        weakref.finalize(self, _close, self._reading, self._writing)

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Also again, and from any thread."""
        self._is_set = True
        with contextlib.suppress(BlockingIOError):  # full of such bytes
            os.write(self._writing, b"\0")

    def wait(self, seconds: float) -> bool:
        """Sleep until it is set, or for so long; whether it is set."""
        if not self._is_set:
            ready = select.poll()
            ready.register(self._reading, select.POLLIN)
            ready.poll(max(0.0, seconds) * 1000)
        return self._is_set


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
