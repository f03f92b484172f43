"""Output by a format such as `%.8i|%T` and by lists of field names."""

import re
import time
from collections.abc import Mapping


def clock(moment: float | None, none: str = "N/A") -> str:
    """Write a moment as Slurm does."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(moment)) if moment else none


def span(seconds: float, *, full: bool = False) -> str:
    """Write a time span: 0:03, 1:00:00, 1-00:00:00; `full` always has hours, as in sacct."""
    minutes, secs = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{secs:02}"
    if full:
        return f"{hours:02}:{minutes:02}:{secs:02}"
    return f"{hours}:{minutes:02}:{secs:02}" if hours else f"{minutes}:{secs:02}"


def fill(form: str, values: Mapping[str, str]) -> str:
    """Fill in a percent format; `%.8i` is right-justified and cut at 8, `%8i` left-justified."""

    def one(match: re.Match[str]) -> str:
        right, width, letter = match[1], match[2], match[3]
        if letter == "%":
            return "%"
        text = values[letter]
        if not width:
            return text
        text = text[: int(width)]
        return text.rjust(int(width)) if right else text.ljust(int(width))

    return re.sub(r"%(\.?)(\d*)([A-Za-z%])", one, form)
