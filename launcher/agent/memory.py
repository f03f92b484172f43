"""What our control group says about memory: how much there is, and how many processes the kernel has killed for it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from curator_slurm.launcher.ranges import whole_number

_ROOT = Path("/sys/fs/cgroup")


def _group(memberships: str, root: Path) -> tuple[Path, Path, bool] | None:
    """Our group, the root of its hierarchy, and whether that is of version 1; from the text of /proc/self/cgroup."""
    unified = None
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return root / "memory" / path.lstrip("/"), root / "memory", True
        if not controllers:
            unified = root / path.lstrip("/"), root, False
    return unified


def counter_file(memberships: str, root: Path = _ROOT) -> Path | None:
    """The file with the count of our control group; both cgroup versions."""
    found = _group(memberships, root)
    return found and found[0] / ("memory.oom_control" if found[2] else "memory.events")


def smallest_limit(memberships: str, root: Path = _ROOT) -> int | None:
    """The bytes that our control group and those above it allow; None where none of them has a limit.

    Slurm limits the job's group, and may leave those of its steps and tasks without a limit of their own. In a
    container the path of the group may be that of the host, and only the root be there.
    """
    found = _group(memberships, root)
    if found is None:
        return None
    group, top, first_version = found
    names = ["memory.limit_in_bytes"] if first_version else ["memory.max", "memory.high"]
    folders = [folder for folder in (group, *group.parents) if folder == top or top in folder.parents]
    return min((limit for folder in folders for name in names if (limit := _limit(folder / name))), default=None)


def control_group_limit() -> int | None:
    """What the control group of this process allows, in bytes."""
    with contextlib.suppress(OSError, ValueError):
        return smallest_limit(Path("/proc/self/cgroup").read_text())
    return None


def _limit(path: Path) -> int | None:
    try:
        return whole_number(path.read_text().strip())
    except OSError:
        return None


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
