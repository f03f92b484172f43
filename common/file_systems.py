"""Which file system a folder is on, by the mounts of this machine."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def file_system_of(folder: Path, mounts: str | None = None) -> str:
    """The type of the file system that a folder is on; empty where it is not known."""
    found, longest = "", -1
    with contextlib.suppress(OSError):
        path = os.path.realpath(folder)
        for line in (Path("/proc/mounts").read_text(errors="replace") if mounts is None else mounts).splitlines():
            fields = line.split(" ")
            if len(fields) < 3:
                continue
            place = fields[1].encode().decode("unicode_escape", errors="replace")
            inside = path == place or path.startswith(f"{place.rstrip('/')}/")
            if inside and len(place) >= longest:
                found, longest = fields[2], len(place)
    return found
