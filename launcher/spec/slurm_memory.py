"""Slurm's amounts of memory as megabytes, and back. Pure."""

from __future__ import annotations

import re

_MEMORY = re.compile(r"([0-9]+)([KMGT]?)B?", re.IGNORECASE)


def megabytes(memory: str) -> int:
    """Megabytes of an amount such as 480G; a bare number is megabytes, and what is less than one counts as one.

    Raises:
        ValueError: it is no such amount.
    """
    match = _MEMORY.fullmatch(memory)
    if match is None:
        raise ValueError(f"{memory!r} is no amount of memory")
    kilobytes = int(match[1]) << 10 * "KMGT".index(match[2].upper() or "M")
    return -(-kilobytes // 1024)


def memory_text(mb: int) -> str:
    """The amount in the largest unit that is exact: 480G, 494000M."""
    return f"{mb // 1024}G" if mb and mb % 1024 == 0 else f"{mb}M"
