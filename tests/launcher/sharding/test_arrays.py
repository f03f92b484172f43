"""Cutting shards into arrays."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.launcher.sharding.arrays import cut


@given(
    count=st.integers(1, 400),
    per_element=st.integers(1, 9),
    largest=st.integers(1, 60),
    max_running=st.none() | st.integers(1, 50),
)
def test_every_shard_once_and_limits_kept(count: int, per_element: int, largest: int, max_running: int | None) -> None:
    windows = cut(range(count), per_element, largest, max_running)
    assert [shard for window in windows for shard in window.shards] == list(range(count))
    sizes = [len(window.elements) for window in windows]
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(windows) == math.ceil(math.ceil(count / per_element) / largest)
    for window in windows:
        assert [element.element for element in window.elements] == list(range(len(window.elements)))
        assert all(len(element.shards) <= per_element for element in window.elements)
    if max_running is None:
        assert all(window.max_running is None and window.after is None for window in windows)
    else:
        # Windows that wait for no other run side by side; one that waits takes the place of the one it follows.
        first = [window for window in windows if window.after is None]
        assert sum(min(window.max_running or 10**9, len(window.elements)) for window in first) <= max_running
        followed = [window.after for window in windows if window.after is not None]
        assert len(followed) == len(set(followed))
        late = [window for window in windows if window.after is not None]
        assert all(window.max_running == 1 or len(window.elements) == 1 for window in late)


def test_the_limit_is_shared_by_the_windows() -> None:
    windows = cut(range(100), 1, 34, 20)
    assert [window.array for window in windows] == ["0-33%7", "0-32%7", "0-32%6"]
    assert all(window.after is None for window in windows)


def test_more_windows_than_may_run_wait_for_each_other() -> None:
    windows = cut(range(50), 1, 10, 2)
    assert [(window.array, window.after) for window in windows] == [
        ("0-9%1", None),
        ("0-9%1", None),
        ("0-9%1", 0),
        ("0-9%1", 1),
        ("0-9%1", 2),
    ]


@pytest.mark.parametrize(("max_running", "array"), [(None, "0-4"), (5, "0-4"), (9, "0-4"), (4, "0-4%4")])
def test_a_limit_that_limits_nothing_is_left_out(max_running: int | None, array: str) -> None:
    assert [window.array for window in cut(range(5), 1, 1000, max_running)] == [array]


def test_no_shards_no_windows() -> None:
    assert cut([], 1, 10) == []
