"""Every file in exactly one shard, shards of about the same weight, and the same shards for the same files."""

from __future__ import annotations

import random
from itertools import combinations, pairwise, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.sharding.split import BALANCED, split
from curator_slurm.launcher.spec.data_sections import ShardsSpec

sizes = st.lists(st.one_of(st.none(), st.integers(0, 10**6)), min_size=1, max_size=60)
ways = st.one_of(
    st.integers(1, 70).map(lambda count: {"count": count}),
    st.integers(1, 70).map(lambda most: {"files_per_shard": most}),
    st.integers(1, 10**6).map(lambda most: {"bytes_per_shard": str(most)}),
)
orders = st.sampled_from(["size", "name"])


def files_of(sizes: list[int | None]) -> list[InputFile]:
    return [InputFile(f"/data/{number:03d}", size) for number, size in enumerate(sizes)]


def weights(shards: list[Shard]) -> list[int]:
    return [shard.bytes for shard in shards]


def cannot_be_cut(found, way):
    """By bytes there must be a size."""
    return "bytes_per_shard" in way and set(found) == {None}


@settings(deadline=None)
@given(sizes, ways, orders, st.randoms())
def test_every_file_once_and_no_matter_how_they_are_listed(found, way, order, chance):
    assume(not cannot_be_cut(found, way))
    files = files_of(found)
    shards = split(files, ShardsSpec(**way, order=order))
    assert sorted(path for shard in shards for path in shard.paths) == [file.path for file in files]
    assert all(shard.files for shard in shards)
    assert [shard.index for shard in shards] == list(range(len(shards)))
    shuffled = list(files)
    chance.shuffle(shuffled)
    assert split(shuffled, ShardsSpec(**way, order=order)) == shards


@settings(deadline=None)
@given(sizes, ways, orders)
def test_limits_hold(found, way, order):
    assume(not cannot_be_cut(found, way))
    files = files_of(found)
    shards = split(files, ShardsSpec(**way, order=order))
    if "count" in way:
        assert len(shards) == min(way["count"], len(files))
    if "files_per_shard" in way:
        assert max(len(shard.files) for shard in shards) <= way["files_per_shard"]
    if "bytes_per_shard" in way and None not in found:
        limit = int(way["bytes_per_shard"])
        assert all(shard.bytes <= limit or len(shard.files) == 1 or not any(found) for shard in shards)
    if order == "name":
        assert [path for shard in shards for path in shard.paths] == [file.path for file in files]


@pytest.mark.parametrize("order", ["size", "name"])
@pytest.mark.parametrize("count", [2, 7, 40])
def test_shards_weigh_about_the_same(order, count):
    chance = random.Random(count)
    files = files_of([int(chance.lognormvariate(12, 1)) for _ in range(count * 60)])
    found = weights(split(files, ShardsSpec(count=count, order=order)))
    mean = sum(found) / len(found)
    largest = max(file.bytes or 0 for file in files)
    bound = BALANCED * mean if order == "size" else mean + largest
    assert max(found) <= bound


@pytest.mark.parametrize(
    ("found", "count", "best"),
    [
        ([3, 3, 2, 2, 2], 2, 6),
        ([8, 7, 6, 5, 4], 2, 15),
        ([100, 1, 1, 1], 2, 100),
        ([5, 5, 4, 4, 3, 3, 3], 3, 9),
    ],
)
def test_few_files_are_balanced_too(found, count, best):
    assert max(weights(split(files_of(found), ShardsSpec(count=count)))) == best


def best_by_trying(found, count):
    """The weight of the heaviest shard where it is as light as can be, and no shard is empty."""
    ways = (way for way in product(range(count), repeat=len(found)) if len(set(way)) == count)
    return min(
        max(sum(size for size, at in zip(found, way, strict=True) if at == shard) for shard in range(count))
        for way in ways
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=7), st.integers(2, 3))
def test_no_better_way_is_missed_where_there_are_few_files(found, count):
    count = min(count, len(found))
    heaviest, best = max(weights(split(files_of(found), ShardsSpec(count=count)))), best_by_trying(found, count)
    mean = sum(found) / count
    assert heaviest <= BALANCED * mean or best > BALANCED * mean
    assert heaviest <= best * 4 / 3


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=9), st.integers(1, 4))
def test_ranges_are_the_best_there_are(found, count):
    count = min(count, len(found))
    assume(any(found))
    cuts = combinations(range(1, len(found)), count - 1)
    best = min(max(sum(found[a:b]) for a, b in pairwise([0, *cut, len(found)])) for cut in cuts)
    assert max(weights(split(files_of(found), ShardsSpec(count=count, order="name")))) == best


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 60), orders)
def test_by_bytes_there_are_no_more_shards_than_it_takes(found, most, order):
    assume(any(found))
    small = [size for size in found if size <= most]
    shards = split(files_of(found), ShardsSpec(bytes_per_shard=str(most), order=order))
    if order == "size" and small:
        # First fit, the largest first, never takes more than 11/9 of the best and one.
        rest = len(shards) - sum(size > most for size in found)
        assert rest <= max(-(-sum(small) // most), 1) * 2
    if not any(a + b <= most for a, b in combinations(found, 2)):
        assert len(shards) == len(found)
    if sum(found) <= most:
        assert len(shards) == 1


@pytest.mark.parametrize("order", ["size", "name"])
def test_a_larger_file_stands_alone(order):
    shards = split(files_of([5, 0, 100, 0, 5, 5]), ShardsSpec(bytes_per_shard="10", order=order))
    [large] = [shard for shard in shards if shard.bytes > 10]
    assert len(large.files) == 1
    assert sorted(weights(shards)) == [5, 10, 100]


@pytest.mark.parametrize("order", ["size", "name"])
@pytest.mark.parametrize("way", [{"count": 4}, {"files_per_shard": 3}, {"bytes_per_shard": "1"}])
def test_files_without_content(order, way):
    shards = split(files_of([0] * 12), ShardsSpec(**way, order=order))
    assert {len(shard.files) for shard in shards} == ({3} if way.keys() & {"count", "files_per_shard"} else {1})


def test_without_any_size_bytes_mean_nothing():
    with pytest.raises(ValueError, match=r"the size of no file is known; use shards\.count"):
        split(files_of([None, None]), ShardsSpec(bytes_per_shard="1G"))
    assert [len(shard.files) for shard in split(files_of([None] * 7), ShardsSpec(count=3))] == [3, 2, 2]


def test_no_files_no_shards():
    assert split([], ShardsSpec(count=3)) == []


def test_one_large_file_does_not_unbalance_the_rest():
    found = weights(split(files_of([1000, *[10] * 90]), ShardsSpec(count=10)))
    assert found == [1000, *[100] * 9]


def test_greedy_spreading_is_mended():
    # Each shard takes three files; the largest first gives the first shards too much.
    chance = random.Random(3)
    parts = [sorted(chance.sample(range(1, 1000), 2)) for _ in range(50)]
    found = [size for a, b in parts for size in (a, b - a, 1000 - b)]
    shards = weights(split(files_of(found), ShardsSpec(count=50)))
    assert max(shards) <= BALANCED * 1000


def test_many_small_shards_are_rebalanced_too():
    # Each has three files or four; the first try leaves hundreds of them above the bound.
    chance = random.Random(2)
    shards = weights(split(files_of([chance.randint(50, 100) for _ in range(6000)]), ShardsSpec(count=1980)))
    assert max(shards) * len(shards) <= BALANCED * sum(shards)


def test_the_largest_shard_comes_first():
    found = weights(split(files_of([1, 50, 3, 20, 7]), ShardsSpec(files_per_shard=1)))
    assert found == [50, 20, 7, 3, 1]


def test_empty_files_are_spread():
    shards = split(files_of([0] * 100 + [10, 10]), ShardsSpec(count=4))
    assert max(len(shard.files) for shard in shards) <= 26


def test_files_of_unknown_size_count_as_average():
    shards = split(files_of([None] * 6 + [10] * 6), ShardsSpec(count=4))
    assert {len(shard.files) for shard in shards} == {3}
