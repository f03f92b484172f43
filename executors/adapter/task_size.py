"""How many bytes tasks take: estimates, which cost next to nothing beside the work on them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

_SAMPLE = 16
_SHARE = 0.002
"""Of the time that a stage works, for looking at what goes in, and the same for what comes out."""


class Weigher:
    """Bytes of the tasks of one stage that go in, or that come out.

    Where looking at them would take more than a share of the work's time, they are taken to be as large, for their
    items, as those before them.
    """

    def __init__(self) -> None:
        self._spent = self._worked = 0.0
        self._bytes = self._items = 0

    def __call__(self, tasks: Sequence[Any], items: int) -> int:
        """About how many bytes these take; with so many items in them."""
        if not tasks:
            return 0
        if self._spent > _SHARE * self._worked and self._items:
            return round(self._bytes / self._items * items)
        began = time.perf_counter()
        found = size_of(tasks)
        self._spent += time.perf_counter() - began
        self._bytes += found
        self._items += items
        return found

    def worked(self, seconds: float) -> None:
        """The stage has worked for so long since the last time."""
        self._worked += seconds


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
