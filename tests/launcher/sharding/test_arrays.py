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
    arrays = cut(range(count), per_element, largest, max_running)
    assert [shard for array in arrays for shard in array.shards] == list(range(count))
    sizes = [len(array.elements) for array in arrays]
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(arrays) == math.ceil(math.ceil(count / per_element) / largest)
    for array in arrays:
        assert [element.element for element in array.elements] == list(range(len(array.elements)))
        assert all(len(element.shards) <= per_element for element in array.elements)
    if max_running is None:
        assert all(array.max_running is None and array.after is None for array in arrays)
    else:
        # Arrays that wait for no other run side by side; one that waits takes the place of the one it follows.
        first = [array for array in arrays if array.after is None]
        assert sum(min(array.max_running or 10**9, len(array.elements)) for array in first) <= max_running
        followed = [array.after for array in arrays if array.after is not None]
        assert len(followed) == len(set(followed))
        late = [array for array in arrays if array.after is not None]
        assert all(array.max_running == 1 or len(array.elements) == 1 for array in late)


def test_the_limit_is_shared_by_the_windows() -> None:
    arrays = cut(range(100), 1, 34, 20)
    assert [array.indices for array in arrays] == ["0-33%7", "0-32%7", "0-32%6"]
    assert all(array.after is None for array in arrays)


def test_more_windows_than_may_run_wait_for_each_other() -> None:
    arrays = cut(range(50), 1, 10, 2)
    assert [(array.indices, array.after) for array in arrays] == [
        ("0-9%1", None),
        ("0-9%1", None),
        ("0-9%1", 0),
        ("0-9%1", 1),
        ("0-9%1", 2),
    ]


@pytest.mark.parametrize(("max_running", "array"), [(None, "0-4"), (5, "0-4"), (9, "0-4"), (4, "0-4%4")])
def test_a_limit_that_limits_nothing_is_left_out(max_running: int | None, array: str) -> None:
    assert [array.indices for array in cut(range(5), 1, 1000, max_running)] == [array]


def test_no_shards_no_windows() -> None:
    assert cut([], 1, 10) == []
