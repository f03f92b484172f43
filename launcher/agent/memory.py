"""How many of our processes the kernel has killed for memory."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def counter_file(memberships: str, root: Path = _ROOT) -> Path | None:
    """The file with the count of our control group, from the text of /proc/self/cgroup; both cgroup versions."""
    unified = None
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return root / "memory" / path.lstrip("/") / "memory.oom_control"
        if not controllers:
            unified = root / path.lstrip("/") / "memory.events"
    return unified


def kills_in(text: str) -> int:
    """The count in the text of memory.oom_control or memory.events."""
    match = re.search(r"^oom_kill ([0-9]+)$", text, re.MULTILINE)
    return int(match[1]) if match else 0


class OutOfMemoryCounter:
    """Counts from the moment it is made; 0 where the kernel does not tell."""

    def __init__(self) -> None:
        self._path: Path | None = None
        with contextlib.suppress(OSError, ValueError):
            self._path = counter_file(Path("/proc/self/cgroup").read_text())
        self._start = self._read()

    def kills(self) -> int:
        return max(0, self._read() - self._start)

    def _read(self) -> int:
        if self._path is None:
            return 0
        try:
            return kills_in(self._path.read_text())
        except OSError:
            return 0
