"""One input file, as planning saw it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input file as planning saw it; `bytes` None where nobody could say, `sha256` only where it was given."""

    path: str
    bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
