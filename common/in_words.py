"""Numbers, times and sizes in words, for people who read a terminal or a page: pure functions."""

from __future__ import annotations

import time

from curator_slurm.common.sizes import format_size


def duration(seconds: float | None) -> str:
    """`1h 02m`, `3m 07s`, `12s`; a dash where unknown."""
    if seconds is None:
        return "-"
    whole = max(round(seconds), 0)
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"


def clock(epoch: float | None) -> str:
    """A local time to the second; a dash where unknown."""
    return "-" if epoch is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))


def count(number: object) -> str:
    """A number with thousands separated; a dash where unknown."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return "-"
    return f"{number:,.1f}" if isinstance(number, float) and not number.is_integer() else f"{int(number):,}"


def several(number: object, what: str) -> str:
    """`1 file`, `1,200 files`."""
    shown = f"{number:g}" if isinstance(number, float) and not number.is_integer() else count(number)
    return f"{shown} {what}{'' if number == 1 else 's'}"


def are(number: object) -> str:
    """The verb behind `several`."""
    return "is" if number == 1 else "are"


def all_of(number: object, what: str) -> str:
    """`all 12 files`, `the only file`."""
    return f"the only {what}" if number == 1 else f"all {several(number, what)}"


def share(part: float, whole: float) -> str:
    """`54%`, and never 100% or 0% of what is not all or nothing; a dash where there is nothing to compare with."""
    if whole <= 0:
        return "-"
    share = 100 * part / whole
    if share == int(share):
        return f"{share:.0f}%"
    for digits in (0, 1, 2, 3) if share >= 10 else (1, 2, 3):
        text = f"{share:.{digits}f}"
        if float(text) not in (0.0, 100.0):
            return f"{text}%"
    return ">99.999%" if share > 50 else "<0.001%"


def size(number: object) -> str:
    """Bytes with a unit of 1024: `512 B`, `1.2 MiB`; a dash where unknown."""
    return "-" if isinstance(number, bool) or not isinstance(number, (int, float)) else format_size(number)
