"""Small jobs in threads: network file systems answer slowly, but many requests at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Any

THREADS = 16
BATCH = 500
"""Names per job: with fewer, handing them over would cost more than looking at them."""


class ThreadPool:
    """Runs jobs in threads; their results go to the thread that iterates over it, which may add more jobs."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="inputs")
        self._done: SimpleQueue[Future[Any]] = SimpleQueue()
        self._open = 0

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def add(self, job: Callable[..., Any], *arguments: Any) -> None:
        self._open += 1
        self._pool.submit(job, *arguments).add_done_callback(self._done.put)

    def results(self) -> Iterator[Any]:
        """Results as they come, until no job is left; an error of a job is raised here."""
        while self._open:
            future = self._done.get()
            self._open -= 1
            yield future.result()


def batches(items: list[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """The items in lists of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
