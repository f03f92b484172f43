"""Which files go into which shard. Pure, and the same for the same files in whatever order they are listed."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from curator_slurm.launcher.shards.records import InputFile, Shard
from curator_slurm.launcher.spec import ShardOrder, ShardsSpec
from curator_slurm.launcher.spectypes import SIZE_PATTERN

BALANCED = 1.1
"""The largest shard is at most this many times the mean, where the files allow it."""
_SWAPS = 1000
_PARTNERS = 64


@dataclass(frozen=True)
class _Sized:
    """The files in order of their paths, with a weight for each: its size, or a guess where that is not known."""

    files: Sequence[InputFile]
    weights: Sequence[int]


def split(files: Iterable[InputFile], settings: ShardsSpec) -> list[Shard]:
    """Shards of the files; none is empty, and every file is in exactly one.

    With order `size` files are spread so that shards weigh the same, and the heaviest shards come first, because
    they take longest. With order `name` each shard has neighbours. Where more shards are asked for than there are
    files, every file is a shard.
    """
    sized = _weigh(sorted(files, key=lambda file: file.path))
    if not sized.files:
        return []
    by_size = settings.order is ShardOrder.SIZE
    if settings.count is not None:
        groups = _spread(sized, settings.count) if by_size else _ranges(sized, settings.count)
    elif settings.files_per_shard is not None:
        groups = _by_files(sized, settings.files_per_shard, by_size=by_size)
    else:
        assert settings.bytes_per_shard is not None
        groups = _by_bytes(sized, parse_size(settings.bytes_per_shard), by_size=by_size)
    if by_size:
        groups.sort(key=lambda group: (-sum(sized.weights[index] for index in group), group[0]))
    return [Shard(number, tuple(sized.files[index] for index in group)) for number, group in enumerate(groups)]


def parse_size(text: str) -> int:
    """Bytes of `10G`, `500MB`, `1.5GiB`: K, M, G, T, P are powers of 1024, as in Slurm, with or without `B` or `iB`."""
    match = SIZE_PATTERN.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    return int(float(match["number"]) * 1024 ** " KMGTP".index((match["unit"] or " ").upper()))


def _weigh(files: Sequence[InputFile]) -> _Sized:
    """A file of unknown size weighs as much as the others on average; where all are empty, they weigh the same."""
    known = [file.bytes for file in files if file.bytes is not None]
    guess = sum(known) // len(known) if known else 1
    weights = [guess if file.bytes is None else file.bytes for file in files]
    return _Sized(files, weights if any(weights) else [1] * len(weights))


# Order `size`


def _spread(sized: _Sized, count: int, most_files: int | None = None) -> list[list[int]]:
    """`count` groups of about equal weight: the heaviest file that is left goes to the lightest group."""
    weights = sized.weights
    count = min(count, len(weights))
    groups: list[list[int]] = [[] for _ in range(count)]
    bits = count.bit_length()
    heap = list(range(count))  # load and number of each group in one integer, which compares faster than a pair
    order = sorted(range(len(weights)), key=weights.__getitem__, reverse=True)
    heavy = bisect_left(order, True, key=lambda index: weights[index] == 0)
    for index in order[:heavy]:
        lightest = heap[0]
        group = groups[lightest & ((1 << bits) - 1)]
        group.append(index)
        if len(group) == most_files:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, lightest + (weights[index] << bits))
    _even_out(groups, weights, most_files)
    fewest = [(len(group), number) for number, group in enumerate(groups)]
    heapq.heapify(fewest)
    for index in order[heavy:]:  # empty files weigh nothing, and are spread by number
        size, number = fewest[0]
        groups[number].append(index)
        heapq.heapreplace(fewest, (size + 1, number))
    for group in groups:
        group.sort()
    return groups


def _even_out(groups: list[list[int]], weights: Sequence[int], most_files: int | None) -> None:
    """Move or swap files between the heaviest group and lighter ones while that makes the heaviest lighter.

    Greedy spreading is up to a third above the best; this mends it where there are few files in a group.
    """
    loads = [sum(weights[index] for index in group) for group in groups]
    target = BALANCED * sum(loads) / len(loads)
    for _ in range(_SWAPS):
        heavy = max(range(len(loads)), key=loads.__getitem__)
        if loads[heavy] <= target:
            return
        lighter = heapq.nsmallest(_PARTNERS, range(len(loads)), key=loads.__getitem__)
        if not any(_exchange(groups, weights, loads, heavy, light, most_files) for light in lighter if light != heavy):
            return


def _exchange(
    groups: list[list[int]], weights: Sequence[int], loads: list[int], heavy: int, light: int, most_files: int | None
) -> bool:
    """The move or swap that brings these two groups closest; False if none makes the heavier one lighter."""
    gap = loads[heavy] - loads[light]
    there = sorted(groups[light], key=weights.__getitem__)
    sizes = [weights[index] for index in there]
    may_move = len(groups[heavy]) > 1 and (most_files is None or len(groups[light]) < most_files)
    best: tuple[int, int, int | None] | None = None
    for index in groups[heavy]:
        if may_move and weights[index]:
            best = _closer(best, (abs(gap - 2 * weights[index]), index, None))
        wanted = bisect_left(sizes, weights[index] - gap // 2)
        for position in (wanted - 1, wanted):
            if 0 <= position < len(there) and sizes[position] < weights[index]:
                difference = weights[index] - sizes[position]
                best = _closer(best, (abs(gap - 2 * difference), index, there[position]))
    if best is None or best[0] >= gap:
        return False
    _, out, back = best
    groups[heavy].remove(out)
    groups[light].append(out)
    moved = weights[out]
    if back is not None:
        groups[light].remove(back)
        groups[heavy].append(back)
        moved -= weights[back]
    loads[heavy] -= moved
    loads[light] += moved
    return True


def _closer(
    best: tuple[int, int, int | None] | None, other: tuple[int, int, int | None]
) -> tuple[int, int, int | None]:
    return other if best is None or other[0] < best[0] else best


# Order `name`


def _ranges(sized: _Sized, count: int) -> list[list[int]]:
    """`count` ranges of neighbours whose heaviest is as light as can be."""
    sums = [0, *accumulate(sized.weights)]
    total, files = sums[-1], len(sized.weights)
    count = min(count, files)
    low, high = max(max(sized.weights), -(-total // count)), -(-total // count) + max(sized.weights)
    while low < high:
        middle = (low + high) // 2
        if len(_fill(sums, middle, files)) <= count:
            high = middle
        else:
            low = middle + 1
    ends = _fill(sums, low, files)
    return _cut_further(ends, sums, count)


def _fill(sums: Sequence[int], capacity: int, most_files: int) -> list[int]:
    """Ends of ranges that are filled one after the other up to the capacity; a file above it stands alone."""
    ends, start, files = [], 0, len(sums) - 1
    while start < files:
        end = bisect_left(sums, sums[start] + capacity + 1, start + 1) - 1
        start = min(max(end, start + 1), start + most_files)
        ends.append(start)
    return ends


def _cut_further(ends: Sequence[int], sums: Sequence[int], count: int) -> list[list[int]]:
    """Exactly `count` ranges: the heaviest that has several files is cut in the middle, while there are too few."""
    heap: list[tuple[int, int, int]] = []
    done: list[tuple[int, int]] = []
    start = 0
    for end in ends:
        heapq.heappush(heap, (sums[start] - sums[end], start, end))
        start = end
    while len(heap) + len(done) < count:
        _, start, end = heapq.heappop(heap)
        if end - start == 1:
            done.append((start, end))
            continue
        middle = bisect_left(sums, (sums[start] + sums[end]) / 2, start + 1, end)
        middle = min(max(middle, start + 1), end - 1)
        heapq.heappush(heap, (sums[start] - sums[middle], start, middle))
        heapq.heappush(heap, (sums[middle] - sums[end], middle, end))
    return [list(range(start, end)) for start, end in sorted([*done, *((s, e) for _, s, e in heap)])]


# By size of a shard


def _by_files(sized: _Sized, most: int, *, by_size: bool) -> list[list[int]]:
    files = len(sized.files)
    if by_size:
        return _spread(sized, -(-files // most), most)
    return [list(range(start, min(start + most, files))) for start in range(0, files, most)]


def _by_bytes(sized: _Sized, most: int, *, by_size: bool) -> list[list[int]]:
    """Groups of at most so many bytes; a larger file stands alone."""
    files = len(sized.files)
    if not by_size:
        sums = [0, *accumulate(sized.weights)]
        ends = _fill(sums, most, files)
        return [list(range(start, end)) for start, end in zip([0, *ends], ends, strict=False)]
    large = [[index] for index, weight in enumerate(sized.weights) if weight > most]
    rest = [index for index, weight in enumerate(sized.weights) if weight <= most]
    small = _Sized([sized.files[index] for index in rest], [sized.weights[index] for index in rest])
    groups = _until(lambda count: _spread(small, count), small, most) if rest else []
    return large + [[rest[index] for index in group] for group in groups]


def _until(spread: Callable[[int], list[list[int]]], sized: _Sized, most: int) -> list[list[int]]:
    """The first spreading of which no group is above `most`, with as many groups as that takes."""
    count = max(1, -(-sum(sized.weights) // max(most, 1)))
    while True:
        groups = spread(count)
        heaviest = max(sum(sized.weights[index] for index in group) for group in groups)
        if heaviest <= most or count >= len(sized.files):
            return groups
        count += max(1, count // 50)
