"""One input file, as planning saw it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file as planning saw it; `bytes` is None if unknown, `sha256` is only set if it was given."""

    path: str
    bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
