"""Many small jobs on files: in threads where the storage is slow, one after the other where it is not."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

_QUICK_S = 0.001
"""A job that takes longer, and waits, is worth a thread; threads that wait for nothing but each other are slower."""
_GRACE_S = 0.05
_BATCH = 32
_BATCHES_PER_THREAD = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(job: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """The results of the job for all items, in their order. It begins in this thread, and goes to others if it must."""
    began, waited = time.monotonic(), _waits()
    for number, item in enumerate(items):
        if time.monotonic() - began > _GRACE_S + number * _QUICK_S and _waits() - waited >= number:
            left = items[number:]
            break
        yield job(item)
    else:
        return
    size = max(min(_BATCH, len(left) // (threads * _BATCHES_PER_THREAD)), 1)
    batches = [left[start : start + size] for start in range(0, len(left), size)]
    with ThreadPoolExecutor(threads) as pool:
        yield from chain.from_iterable(pool.map(lambda batch: list(map(job, batch)), batches))


def _waits() -> int:
    """How often this thread has given up its processor to wait for something, such as an answer of a file server."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
