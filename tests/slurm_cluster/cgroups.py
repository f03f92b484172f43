"""Control groups, version 1: Slurm 22.05 needs no systemd with them.

On a host without them (version 2 only, or not writable) the cluster still works, with jobs tracked by
process table and without memory limits.
"""

import os
from functools import partial
from pathlib import Path

from slurm_cluster.errors import ClusterError
from slurm_cluster.waiting import wait_for

ROOT = Path("/sys/fs/cgroup")
WANTED = ("freezer", "memory", "cpu", "cpuacct")


def hierarchies() -> list[str]:
    """Return the usable hierarchies, each as its mount option, such as `memory` or `cpu,cpuacct`."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mountpoint, kind, options = line.split()[:4]
        controllers = [c for c in options.split(",") if c in WANTED]
        if kind == "cgroup" and controllers and os.access(mountpoint, os.W_OK):
            name = ",".join(controllers)
            if (ROOT / name).is_dir() and name not in found:
                found.append(name)
    return found if {"freezer", "memory"} <= set(",".join(found).split(",")) else []


def create(cluster: str, node: str, memory_mb: int | None) -> list[Path]:
    """Make a node's groups afresh and return the files that take a process in."""
    doors = []
    for hierarchy in hierarchies():
        group = ROOT / hierarchy / cluster / node
        remove(group)
        group.mkdir(parents=True)
        if hierarchy == "memory" and memory_mb:
            (group / "memory.limit_in_bytes").write_text(str(memory_mb << 20))
        doors.append(group / "cgroup.procs")
    return doors


def remove(group: Path) -> None:
    """Remove a group and those in it; their last processes may still be on the way out."""
    for directory, _, _ in os.walk(group, topdown=False):
        wait_for(f"control group {directory} to be empty", partial(_removed, Path(directory)), 20)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def remove_cluster(cluster: str) -> None:
    """Remove all groups of a cluster whose processes have been killed."""
    for hierarchy in hierarchies():
        remove(ROOT / hierarchy / cluster)


def kill_members(cluster: str) -> None:
    """Kill what a cluster left running, known or not: the groups say what belongs to it."""
    for hierarchy in hierarchies()[:1]:
        for procs in (ROOT / hierarchy / cluster).glob("**/cgroup.procs"):
            try:
                members = [int(pid) for pid in procs.read_text().split()]
            except OSError:
                continue
            for pid in members:
                if pid == os.getpid():
                    raise ClusterError("this process is inside the cluster that it should remove")
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
