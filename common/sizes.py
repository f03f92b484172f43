"""Sizes of memory and files as text, read and written in one way. Pure.

Units are Slurm's: K, M, G, T and P are powers of 1024, with or without `B` or `iB`, in either case. So `512M`, `512MB`
and `512MiB` are all 536,870,912 bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = " KMGTP"
_SIZE = re.compile(r"(?P<number>\d+(\.\d*)?(e\d{1,2})?|\.\d+) ?((?P<unit>[KMGTP])(i?B)?|B)?", re.ASCII | re.IGNORECASE)


def parse_size(size: int | float | str) -> int:
    """Bytes of a size such as 1000, `10G`, `512MB` or `1.5GiB`; a number without a unit is bytes.

    Raises:
        ValueError: it is not a size, or less than a byte.
    """
    if isinstance(size, str):
        match = _SIZE.fullmatch(size.strip())
        if match is None:
            raise ValueError(f"{size!r} is not a size; write a number of bytes, or such as 500M, 10G or 1.5T")
        exact = Decimal(match["number"]) * 1024 ** _UNITS.index((match["unit"] or " ").upper())
    else:
        exact = Decimal(size)
    if not exact.is_finite() or exact < 1:
        raise ValueError(f"a size must be at least one byte, not {size!r}")
    return int(exact)


def format_size(size: float) -> str:
    """`512 B`, `1.5 GiB`: powers of 1024, three digits."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} PiB"
