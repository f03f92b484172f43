"""Every file in exactly one shard, shards of about the same weight, and the same shards for the same files."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.shards.records import InputFile, Shard
from curator_slurm.launcher.shards.split import BALANCED, parse_size, split
from curator_slurm.launcher.spec import ShardsSpec

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


@settings(deadline=None)
@given(sizes, ways, orders, st.randoms())
def test_every_file_once_and_no_matter_how_they_are_listed(found, way, order, chance):
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


def test_the_largest_shard_comes_first():
    found = weights(split(files_of([1, 50, 3, 20, 7]), ShardsSpec(files_per_shard=1)))
    assert found == [50, 20, 7, 3, 1]


def test_empty_files_are_spread():
    shards = split(files_of([0] * 100 + [10, 10]), ShardsSpec(count=4))
    assert max(len(shard.files) for shard in shards) <= 26


def test_files_of_unknown_size_count_as_average():
    shards = split(files_of([None] * 6 + [10] * 6), ShardsSpec(count=4))
    assert {len(shard.files) for shard in shards} == {3}


@pytest.mark.parametrize(
    ("text", "size"),
    [("7", 7), ("10K", 10240), ("1.5GiB", 3 << 29), ("2 MB", 2 << 20), ("1t", 1 << 40), ("12B", 12)],
)
def test_sizes(text, size):
    assert parse_size(text) == size
