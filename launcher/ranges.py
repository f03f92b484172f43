"""Sets of numbers as people and Slurm write them: `3,7-9`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})(?::([0-9]{1,18}))?)?")
MOST_NUMBERS = 10_000_000
"""No list has more: Slurm's arrays end at 4,000,001 elements, and a typo must not fill the memory."""

_LONGEST = 20
"""Digits: more are no number of anything here, and Python refuses to read thousands."""


def whole_number(text: str) -> int | None:
    """The number that `text` is in plain digits; None where it is none. (`str.isdigit` is true of `²` and `٣`, too.)"""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None


def parse_numbers(text: str) -> list[int]:
    """The numbers in `3,7-9` (also with a step, `0-20:4`, and Slurm's limit, `0-9%2`): sorted, none twice.

    Raises:
        ValueError: it is no such text, or it has more than MOST_NUMBERS.
    """
    numbers: set[int] = set()
    for part in text.partition("%")[0].strip("[] ").split(","):
        match = _PART.fullmatch(part.strip())
        if not match:
            raise ValueError(f"{shortened(text)} is not a list of numbers such as 3,7-9")
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first or step < 1:
            raise ValueError(f"{shortened(text)} has a range that ends before it begins")
        if (last - first) // step >= MOST_NUMBERS - len(numbers):
            raise ValueError(f"{shortened(text)} has more than {MOST_NUMBERS:,} numbers")
        numbers.update(range(first, last + 1, step))
    return sorted(numbers)


def shortened(text: str, limit: int = 80) -> str:
    """A text for a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= limit else f"{text[:limit]}...")


def format_numbers(numbers: Iterable[int]) -> str:
    """`3,7-9`, the shortest form of a set of numbers."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def some_numbers(numbers: Iterable[int], limit: int = 60) -> str:
    """`format_numbers`, cut to about `limit` characters for a line on a screen."""
    text = format_numbers(numbers)
    if len(text) <= limit:
        return text
    kept = text[:limit].rpartition(",")[0] or text[:limit]
    return f"{kept},..."
