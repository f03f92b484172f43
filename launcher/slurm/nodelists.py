"""Slurm's lists of nodes, such as `n[01-03,7],gpu1`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from curator_slurm.launcher.ranges import shortened

MOST_NODES = 100_000
"""No cluster has more, and a damaged list must not fill the memory."""
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


def expand_nodelist(text: str) -> list[str]:
    """The host names of a node list: `n[01-03,7],gpu1` -> n01 n02 n03 n7 gpu1.

    Raises:
        ValueError: it is no node list, or has more than MOST_NODES.
    """
    names: list[str] = []
    for group in _split_outside_brackets(text.strip()):
        names.extend(_expand_group(group, MOST_NODES - len(names)))
    return names


def _split_outside_brackets(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            break
        if character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    if depth:
        raise ValueError(f"not a node list: {shortened(text)}")
    if text[start:]:
        yield text[start:]


def _expand_group(group: str, most: int) -> list[str]:
    names = [""]
    for part in re.split(r"(\[[^\]]*\])", group):
        suffixes = _expand_ranges(part[1:-1], most) if part.startswith("[") else [part]
        if len(names) * len(suffixes) > most:
            raise _too_many(group)
        names = [name + suffix for name in names for suffix in suffixes]
    return names


def _expand_ranges(text: str, most: int) -> list[str]:
    numbers: list[str] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if not match:
            raise ValueError(f"not a range of nodes: {shortened(text)}")
        first, last = match[1], match[2] or match[1]
        if int(last) - int(first) >= most - len(numbers):
            raise _too_many(text)
        numbers.extend(f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    return numbers


def _too_many(text: str) -> ValueError:
    return ValueError(f"not a node list: {shortened(text)} names more than {MOST_NODES:,} nodes")
