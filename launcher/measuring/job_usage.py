"""What the job uses on this node: of its control group where Slurm has made one, else of our own processes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.ranges import whole_number

_JOB_GROUP = re.compile(r"job_[0-9]+")
_TICKS = os.sysconf("SC_CLK_TCK")
_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


@dataclass(frozen=True)
class JobUsage:
    """Seconds of CPUs since the job began here, and bytes of memory now; None where nothing tells."""

    cpu_s: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class JobGroups:
    """Where the figures of our job's control group are; None where it has none of that kind."""

    cpu: Path | None = None
    memory: Path | None = None


def job_groups(memberships: str, root: Path = _ROOT) -> JobGroups:
    """The groups of the whole job, from the text of /proc/self/cgroup: those of steps and tasks lie below."""
    cpu = memory = None
    for line in memberships.splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        folder = _job_folder(path)
        if folder is None:
            continue
        if not controllers:
            cpu, memory = cpu or root / folder / "cpu.stat", memory or root / folder / "memory.current"
        if "cpuacct" in names:
            cpu = root / "cpuacct" / folder / "cpuacct.usage"
        if "memory" in names:
            memory = root / "memory" / folder / "memory.usage_in_bytes"
    return JobGroups(_there(cpu), _there(memory))


def _job_folder(path: str) -> str | None:
    parts = path.strip("/").split("/")
    of_job = [number for number, part in enumerate(parts) if _JOB_GROUP.fullmatch(part)]
    return "/".join(parts[: of_job[0] + 1]) if of_job else None


def _there(path: Path | None) -> Path | None:
    return path if path is not None and path.exists() else None


def read_groups(groups: JobGroups) -> JobUsage:
    """What the control group says; memory without the files that the kernel may drop at any time."""
    cpu = memory = None
    with contextlib.suppress(OSError, ValueError, KeyError):
        if groups.cpu is not None:
            text = groups.cpu.read_text()
            cpu = int(text) / 1e9 if groups.cpu.name == "cpuacct.usage" else _figures(text)["usage_usec"] / 1e6
    with contextlib.suppress(OSError, ValueError):
        if groups.memory is not None:
            figures = _figures(groups.memory.with_name("memory.stat").read_text())
            files = figures.get("total_inactive_file", figures.get("inactive_file", 0))
            memory = max(int(groups.memory.read_text()) - files, 0)
    return JobUsage(cpu, memory)


def _figures(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: value for pair in pairs if len(pair) == 2 and (value := whole_number(pair[1])) is not None}


@dataclass(frozen=True)
class Processes:
    """Seconds of CPUs of each process, with those of its children that have ended; bytes of memory of all."""

    seconds: Mapping[int, float]
    memory: int


def read_processes(root_pid: int, proc: Path = _PROC) -> Processes:
    """What a process and all below it use; memory that several share, as Ray's object store, counts once."""
    stats = {pid: stat for pid, text in _stats(proc) if (stat := _stat_of(text)) is not None}
    ours = _descendants(root_pid, {pid: parent for pid, (parent, _) in stats.items()})
    private, shared = 0, 0
    for pid in ours:
        with contextlib.suppress(OSError, ValueError):
            status = (proc / str(pid) / "status").read_text(errors="replace")
            private += _kilobytes(status, "RssAnon")
            shared = max(shared, _kilobytes(status, "RssShmem"))
    return Processes({pid: stats[pid][1] for pid in ours}, (private + shared) * 1024)


def gained(before: Mapping[int, float], now: Mapping[int, float]) -> float:
    """Seconds of CPUs that processes took between two readings.

    The time of one that has ended is its parent's, if that has waited for it; else what is left over counts those that
    live alone.
    """
    whole = sum(now.values()) - sum(before.values())
    return whole if whole >= 0 else sum(max(now[pid] - before[pid], 0.0) for pid in now.keys() & before.keys())


def _stats(proc: Path) -> list[tuple[int, str]]:
    found = []
    with contextlib.suppress(OSError), os.scandir(proc) as entries:
        for entry in entries:
            if (pid := whole_number(entry.name)) is not None:
                with contextlib.suppress(OSError):
                    found.append((pid, Path(entry.path, "stat").read_text(errors="replace")))
    return found


def _stat_of(text: str) -> tuple[int, float] | None:
    """Parent, and seconds of CPU with those of children that have ended."""
    fields = text.rpartition(")")[2].split()
    if len(fields) < 15:
        return None
    return int(fields[1]), sum(map(int, fields[11:15])) / _TICKS


def _descendants(root: int, parents: Mapping[int, int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root] if root in parents else []
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, ())
    return found


def _kilobytes(status: str, name: str) -> int:
    _, found, rest = status.partition(f"\n{name}:")
    return int(rest.split(None, 1)[0]) if found else 0


class JobReader:
    """Reads the job's use again and again, each figure from where it is."""

    def __init__(self) -> None:
        self._groups = JobGroups()
        self._before: Mapping[int, float] = {}
        self._seconds = 0.0
        with contextlib.suppress(OSError, ValueError):
            self._groups = job_groups(Path("/proc/self/cgroup").read_text())

    def read(self) -> JobUsage:
        """Now."""
        found = read_groups(self._groups)
        if found.cpu_s is not None and found.memory is not None:
            return found
        own = read_processes(os.getpid())
        self._seconds += gained(self._before, own.seconds)
        self._before = own.seconds
        return JobUsage(
            self._seconds if found.cpu_s is None else found.cpu_s,
            own.memory if found.memory is None else found.memory,
        )
