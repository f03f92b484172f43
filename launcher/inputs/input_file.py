"""One input file, as planning saw it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class InputFile(NamedTuple):
    """One input file as planning saw it; `bytes` is None if unknown, `sha256` is only set if it was given.

    A tuple, because there are millions: it is made in a third of the time of a frozen class, and is not looked at by
    the collector of cycles.
    """

    path: str
    bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
