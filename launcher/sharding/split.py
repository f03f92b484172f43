"""Files into shards, balanced by bytes: the same files give the same shards, in whatever order they come. Pure.

Two ways. By size: the largest file that is left goes to the shard that has least, and files are exchanged where that
is not good enough; shards are numbered from the largest. By name: shards are ranges of the sorted names, cut so that
the largest is as small as it can be.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby
from operator import attrgetter

from curator_slurm.common.sizes import parse_size
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.sharding.rebalance import BALANCED, is_balanced, loads_of, rebalance
from curator_slurm.launcher.spec.data_sections import ShardOrder, ShardsSpec

__all__ = ["BALANCED", "split"]

Groups = list[list[int]]
"""For each shard the positions of its files in the list sorted by name."""


def split(files: Iterable[InputFile], settings: ShardsSpec) -> list[Shard]:
    """Shards of the files, whose names differ; none is empty, and every file is in exactly one.

    A file of unknown size counts as an average one. Where more shards are asked for than there are files, every file
    is a shard. A file larger than `bytes_per_shard` is a shard of its own.

    Raises:
        ValueError: by bytes, where no size of any file is known.
    """
    ordered = sorted(files, key=attrgetter("path"))
    if not ordered:
        return []
    by_bytes = settings.bytes_per_shard is not None
    sizes = [file.bytes for file in ordered]
    if by_bytes and sizes.count(None) == len(sizes):
        raise ValueError("the size of no file is known; use shards.count or shards.files_per_shard")
    weights = _weigh(sizes)
    by_size = settings.order is ShardOrder.SIZE
    if settings.bytes_per_shard is not None:
        groups = _by_bytes(weights, parse_size(settings.bytes_per_shard), by_size=by_size)
    else:
        most = settings.files_per_shard or len(ordered)
        count = min(settings.count or -(-len(ordered) // most), len(ordered))
        groups = _spread(weights, range(len(ordered)), count, most) if by_size else _ranges(weights, count, most)
    if by_size:
        loads = loads_of(weights, groups)
        order = sorted(range(len(groups)), key=lambda number: (-loads[number], groups[number][0]))
        groups = [groups[number] for number in order]
    return [Shard(index, tuple(map(ordered.__getitem__, group))) for index, group in enumerate(groups)]


def _weigh(sizes: Sequence[int | None]) -> list[int]:
    """The bytes of each file, the average where they are unknown; where all are empty, they weigh the same."""
    known = [size for size in sizes if size is not None]
    if not sum(known):
        return [1] * len(sizes)
    average = max(sum(known) // len(known), 1)
    return [average if size is None else size for size in sizes]


# By size


def _spread(weights: Sequence[int], positions: Sequence[int], count: int, most: int) -> Groups:
    """`count` groups of these files, each of at most `most`: the heaviest file first, to the group that has least."""
    order = sorted(positions, key=weights.__getitem__, reverse=True)
    groups: Groups = [[] for _ in range(count)]
    bits = count.bit_length()
    mask = (1 << bits) - 1
    heap = list(range(count))  # load and number of each group in one integer, which compares faster than a pair
    full = []
    heavy = bisect_left(order, True, key=lambda position: weights[position] == 0)
    for position in order[:heavy]:
        lightest = heap[0]
        group = groups[lightest & mask]
        group.append(position)
        heavier = lightest + (weights[position] << bits)
        if len(group) < most:
            heapq.heapreplace(heap, heavier)
        else:
            heapq.heappop(heap)
            full.append(heavier)
    if not is_balanced([load >> bits for load in (*heap, *full)]):
        groups = rebalance(weights, groups, most)
    fewest = [(len(group), number) for number, group in enumerate(groups)]
    heapq.heapify(fewest)
    for position in order[heavy:]:  # empty files weigh nothing, and are spread by number
        size, number = fewest[0]
        groups[number].append(position)
        heapq.heapreplace(fewest, (size + 1, number))
    for group in groups:
        group.sort()
    return groups


def _fewest_spread(weights: Sequence[int], positions: Sequence[int], capacity: int) -> Groups:
    """As few groups within the capacity as spreading finds; among thousands, some hundredths more are good enough."""
    files = len(positions)

    def attempt(count: int) -> Groups | None:
        groups = _spread(weights, positions, count, files)
        fits = all(sum(map(weights.__getitem__, group)) <= capacity for group in groups)
        return groups if fits else None

    # No two files above half of the capacity go together.
    halves = sum(2 * weights[position] > capacity for position in positions)
    few = max(-(-sum(map(weights.__getitem__, positions)) // capacity), halves, 1)
    found = attempt(few)
    step, many = 1, few
    while found is None:
        few, many = many, min(many + step, files)
        found, step = attempt(many), step * 2
    while many - few > 1 + many // 50:
        middle = (few + many) // 2
        better = attempt(middle)
        if better is None:
            few = middle
        else:
            found, many = better, middle
    return found


# By name


def _ranges(weights: Sequence[int], count: int, most: int) -> Groups:
    """Exactly `count` ranges of at most `most` files, none empty, the heaviest as light as can be."""
    sums = [0, *accumulate(weights)]
    files = len(weights)
    capacity = _smallest_capacity(weights, sums, count, most)
    needed = _needed_from(sums, capacity, most)
    groups: Groups = []
    start = 0
    for left in range(count - 1, -1, -1):
        # Its part of what is left, but not so little that the others cannot take the rest.
        aim = sums[start] + (sums[-1] - sums[start]) // (left + 1)
        stop = bisect_left(sums, aim, start + 1, files)
        if stop > start + 1 and aim - sums[stop - 1] < sums[stop] - aim:
            stop -= 1
        earliest = bisect_left(needed, -left, key=lambda ranges: -ranges)
        latest = min(_end(sums, start, capacity, most), files - left)
        stop = min(max(stop, earliest, start + 1), latest)
        groups.append(list(range(start, stop)))
        start = stop
    return groups


def _end(sums: Sequence[int], start: int, capacity: int, most: int) -> int:
    """Where the longest range from `start` ends."""
    return min(bisect_right(sums, sums[start] + capacity) - 1, start + most)


def _ranges_needed(sums: Sequence[int], capacity: int, most: int, enough: int) -> int | None:
    """How many ranges within the capacity there must be; None for more than `enough`."""
    start, count, files = 0, 0, len(sums) - 1
    while start < files:
        start = _end(sums, start, capacity, most)
        count += 1
        if count > enough:
            return None
    return count


def _smallest_capacity(weights: Sequence[int], sums: Sequence[int], count: int, most: int) -> int:
    """The weight of the heaviest range where it is as light as it can be."""
    low, high = max(max(weights), -(-sums[-1] // count)), sums[-1]
    while low < high:
        middle = (low + high) // 2
        if _ranges_needed(sums, middle, most, count) is None:
            low = middle + 1
        else:
            high = middle
    return high


def _needed_from(sums: Sequence[int], capacity: int, most: int) -> list[int]:
    """For each position how many ranges what follows needs; falls from the first position to the last."""
    files = len(sums) - 1
    needed = [0] * (files + 1)
    end = files
    for start in range(files - 1, -1, -1):
        while sums[end] - sums[start] > capacity or end - start > most:
            end -= 1
        needed[start] = 1 + needed[end]
    return needed


# By bytes


def _by_bytes(weights: Sequence[int], capacity: int, *, by_size: bool) -> Groups:
    """Groups of at most so many bytes; a larger file stands alone."""
    if by_size:
        small = [position for position, weight in enumerate(weights) if weight <= capacity]
        large = [[position] for position, weight in enumerate(weights) if weight > capacity]
        return large + (_fewest_spread(weights, small, capacity) if small else [])
    groups: Groups = []
    for alone, part in groupby(range(len(weights)), key=lambda position: weights[position] > capacity):
        positions = list(part)
        groups += [[position] for position in positions] if alone else _ranges_within(weights, positions, capacity)
    return groups


def _ranges_within(weights: Sequence[int], positions: Sequence[int], capacity: int) -> Groups:
    """As few ranges of neighbours within the capacity as there can be."""
    here = [weights[position] for position in positions]
    count = _ranges_needed([0, *accumulate(here)], capacity, len(here), len(here))
    assert count is not None
    first = positions[0]
    return [[first + place for place in group] for group in _ranges(here, count, len(here))]
