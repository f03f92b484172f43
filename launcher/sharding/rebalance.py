"""Rebalances a split: exchanges files between shards, and for few files tries every way. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

BALANCED = 1.1
"""The largest shard has at most so many times the mean, where the files allow it."""
WORK = 2_000_000
"""Steps after which an exchange of files is given up: what is reached then is good."""
_STEP = 20
FEW_FILES = 64
"""With so many files at most, all ways to split them are tried, as far as `TRIES` goes."""
TRIES = 20_000

Groups = list[list[int]]


def loads_of(weights: Sequence[int], groups: Groups) -> list[int]:
    """The weight of each group."""
    return [sum([weights[position] for position in group]) for group in groups]


def is_balanced(loads: Sequence[int]) -> bool:
    """Whether the heaviest group has at most `BALANCED` times the mean; in whole numbers, as sizes are."""
    return 10 * max(loads) * len(loads) <= 11 * sum(loads)


def rebalance(weights: Sequence[int], groups: Groups, most: int) -> Groups:
    """Groups whose heaviest is as light or lighter, of at most `most` files each; as many as before."""
    rebalanced = exchange(weights, groups, most)
    if is_balanced(loads_of(weights, rebalanced)):
        return rebalanced
    positions = [position for group in groups for position in group]
    if len(positions) > FEW_FILES:
        return rebalanced
    return _search(weights, positions, len(groups), most) or rebalanced


def exchange(weights: Sequence[int], groups: Groups, most: int) -> Groups:
    """Take from the heaviest group what makes it and another one more equal, as long as that is needed and helps."""
    groups = [list(group) for group in groups]
    ranks = sorted((sum(map(weights.__getitem__, group)), number) for number, group in enumerate(groups))
    total, work = sum(load for load, _ in ranks), 0
    while work < WORK:
        load, heavy = ranks[-1]
        if 10 * load * len(groups) <= 11 * total or len(groups[heavy]) == 1:
            break
        for place, (other, light) in enumerate(ranks[:-1]):
            work += len(groups[heavy]) + len(groups[light]) + _STEP
            moved = _exchange_pair(weights, groups[heavy], groups[light], load - other, most)
            if moved:
                del ranks[-1], ranks[place]
                insort(ranks, (load - moved, heavy))
                insort(ranks, (other + moved, light))
                break
            if work >= WORK:
                return groups
        else:
            break
    return groups


def _exchange_pair(weights: Sequence[int], heavy: list[int], light: list[int], gap: int, most: int) -> int:
    """Move one file, or swap two, so that the two groups come closest; how much was moved, 0 if nothing helps."""
    best: tuple[int, int, int | None] | None = None  # distance from the middle, file, file in return
    light.sort(key=lambda position: (weights[position], position))
    lightest = [weights[position] for position in light]
    for position in heavy:
        weight = weights[position]
        choices: list[int | None] = [None] if len(light) < most and len(heavy) > 1 else []
        near = bisect_left(lightest, weight - gap / 2)
        choices += light[max(near - 1, 0) : near + 1]
        for other in choices:
            moved = weight - (weights[other] if other is not None else 0)
            distance = abs(2 * moved - gap)
            if 0 < moved < gap and (best is None or distance < best[0]):
                best = (distance, position, other)
    if best is None:
        return 0
    _, position, other = best
    heavy.remove(position)
    light.append(position)
    if other is not None:
        light.remove(other)
        heavy.append(other)
    return weights[position] - (weights[other] if other is not None else 0)


def _search(weights: Sequence[int], positions: Sequence[int], count: int, most: int) -> Groups | None:
    """Balanced groups, if there are any and they are found in `TRIES`."""
    order = sorted(positions, key=lambda position: (-weights[position], position))
    capacity = 11 * sum(map(weights.__getitem__, order)) // (10 * count)
    groups: Groups = [[] for _ in range(count)]
    loads = [0] * count
    tries = 0

    def place(depth: int) -> bool:
        nonlocal tries
        if depth == len(order):
            return True
        tries += 1
        if tries > TRIES or len(order) - depth < sum(not group for group in groups):
            return False
        weight = weights[order[depth]]
        seen = set()
        for number in sorted(range(count), key=lambda number: (loads[number], number)):
            kind = (loads[number], len(groups[number]))
            if kind in seen or loads[number] + weight > capacity or len(groups[number]) >= most:
                continue
            seen.add(kind)
            groups[number].append(order[depth])
            loads[number] += weight
            if place(depth + 1):
                return True
            loads[number] -= weight
            groups[number].pop()
        return False

    return groups if place(0) else None
