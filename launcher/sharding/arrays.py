"""Which shards go into which array: shards -> elements -> arrays. Pure.

An array is one sbatch call. Slurm bounds the size of an array, and counts `%max_running` for each array by itself, so
the arrays of a run share it: each gets its part, and where there are more arrays than may run elements, arrays
wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from curator_slurm.launcher.runs.shard_records import Element


@dataclass(frozen=True)
class JobArray:
    """One array: its elements, how many of them may run at once (None: any number), and whom it waits for."""

    elements: tuple[Element, ...]
    max_running: int | None = None
    after: int | None = None
    """Position of the array that must have ended before this one starts."""

    @property
    def indices(self) -> str:
        """The value of sbatch's --array."""
        limit = "" if self.max_running is None else f"%{self.max_running}"
        return f"0-{len(self.elements) - 1}{limit}"

    def half(self) -> JobArray | None:
        """The first half of its elements; None of a single one."""
        if len(self.elements) < 2:
            return None
        elements = self.elements[: len(self.elements) // 2]
        limit = self.max_running if self.max_running and self.max_running < len(elements) else None
        return replace(self, elements=elements, max_running=limit)

    @property
    def shards(self) -> list[int]:
        return [shard for element in self.elements for shard in element.shards]


def first_elements(arrays: Sequence[JobArray], count: int) -> list[JobArray]:
    """The arrays with the first `count` of all their elements."""
    found = []
    for array in arrays:
        elements = array.elements[:count]
        count -= len(elements)
        if elements:
            limit = array.max_running
            found.append(
                replace(array, elements=elements, max_running=limit if limit and limit < len(elements) else None)
            )
    return found


def cut(shards: Sequence[int], per_element: int, largest: int, max_running: int | None = None) -> list[JobArray]:
    """Arrays of at most `largest` elements of `per_element` shards each, in the order given; sizes differ by one.

    `max_running` holds over all arrays together.
    """
    groups = [tuple(shards[start : start + per_element]) for start in range(0, len(shards), per_element)]
    count = -(-len(groups) // largest)
    parts = [_share(len(groups), count, number) for number in range(count)]
    arrays, start = [], 0
    for number, size in enumerate(parts):
        elements = tuple(Element(index, groups[start + index]) for index in range(size))
        start += size
        limit, after = _turn(number, count, max_running)
        arrays.append(JobArray(elements, None if limit is None or limit >= size else limit, after))
    return arrays


def _share(total: int, parts: int, number: int) -> int:
    """What the part with this number gets of `total`; the first ones get one more where it does not divide."""
    return total // parts + (number < total % parts)


def _turn(number: int, count: int, max_running: int | None) -> tuple[int | None, int | None]:
    """How many elements of this array may run, and the array it follows."""
    if max_running is None:
        return None, None
    if max_running >= count:
        return _share(max_running, count, number), None
    return 1, number - max_running if number >= max_running else None
