"""Slurm's time limits as seconds, and back. Pure."""

from __future__ import annotations

import re

_TIME = re.compile(r"(?:([0-9]{1,9})-)?([0-9]{1,9})(?::([0-9]{1,2}))?(?::([0-9]{1,2}))?")


def seconds(limit: str) -> int | None:
    """Seconds of a time limit: minutes, M:S, H:M:S, D-H, D-H:M, D-H:M:S; None for what is none, as `infinite`."""
    match = _TIME.fullmatch(limit)
    if match is None:
        return None
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, rest = (*numbers, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + rest
    if len(numbers) == 3:
        return (numbers[0] * 60 + numbers[1]) * 60 + numbers[2]
    return numbers[0] * 60 + (numbers[1] if len(numbers) == 2 else 0)


def time_text(time_s: int) -> str:
    """A time limit as Slurm takes it: 2:00:00, 3-00:00:00."""
    days, rest = divmod(time_s, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock
