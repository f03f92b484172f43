"""Small jobs: in this thread as long as they wait for nothing, in others once they do; results in their order."""

from __future__ import annotations

import threading
import time

import pytest

from curator_slurm.launcher.dataset.in_threads import in_threads


def thread_of(item: int) -> tuple[int, threading.Thread]:
    return item, threading.current_thread()


def test_jobs_that_wait_for_nothing_stay_in_this_thread() -> None:
    found = list(in_threads(thread_of, range(1000), 16))
    assert found == [(item, threading.current_thread()) for item in range(1000)]


def test_jobs_that_wait_go_to_threads_and_keep_their_order() -> None:
    def slow(item: int) -> tuple[int, threading.Thread]:
        time.sleep(0.005)
        return thread_of(item)

    found = list(in_threads(slow, range(300), 8))
    assert [item for item, _ in found] == list(range(300))
    threads = {thread for _, thread in found}
    assert found[0][1] is threading.current_thread()
    assert 1 < len(threads) <= 9


@pytest.mark.parametrize("wait_s", [0.0, 0.03])
def test_an_error_ends_it(wait_s: float) -> None:
    def job(item: int) -> int:
        time.sleep(wait_s)
        if item == 7:
            raise OSError(item)
        return item

    with pytest.raises(OSError, match="7"):
        list(in_threads(job, range(20), 4))
    assert list(in_threads(job, [], 4)) == []
