"""Processes, seen from the host through /proc."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slurm_cluster.waiting import wait_for


@dataclass(frozen=True)
class Handle:
    """A process id that cannot be mistaken for a later process of the same number."""

    pid: int
    start: str

    @classmethod
    def of(cls, pid: int) -> "Handle":
        """Take the handle of a live process."""
        return cls(pid, _start(pid) or "")

    @property
    def alive(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        return bool(self.start) and _start(self.pid) == self.start

    def kill(self) -> None:
        """Kill the process and wait until it is gone; of a node's PID 1, the kernel kills the rest."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            wait_for(f"process {self.pid} to die", lambda: not self.alive, 30)


@dataclass(frozen=True)
class Process:
    """One process on a node; `pid` is the host's number for it, fit for `os.kill`."""

    node: str
    pid: int
    uid: int
    command: str


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _start(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields and fields[0] not in "ZX" else None


def child_of(parent: int) -> int | None:
    """Return the first child of a process."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    try:
        first = children.read_text().split()[:1]
    except OSError:
        return None
    return int(first[0]) if first else None


def in_namespace_of(node: str, init: int) -> Iterator[Process]:
    """Yield the processes that share the PID namespace of `init`."""
    try:
        namespace = Path(f"/proc/{init}/ns/pid").readlink()
    except OSError:
        return
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "ns/pid").readlink() != namespace:
                continue
            uid = entry.stat().st_uid
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if _start(int(entry.name)):
            yield Process(node, int(entry.name), uid, command)
