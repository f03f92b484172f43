"""PID 1 of a node: finishes its namespaces, starts its daemons, then reaps orphans for ever.

machine.py calls `main` in namespaces of its own; it reads a NodeSpec as one line of JSON when the node's
cable has been plugged in, and answers by creating the file /run/booted.
"""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from slurm_cluster import cgroups, daemons, expose
from slurm_cluster.config import PREFIX_BITS
from slurm_cluster.layout import Layout

BOOTED = Path("/run/booted")


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """All that a node must know of itself."""

    name: str
    cluster: str
    address: str
    gateway: str | None
    login: str
    accounting: bool
    shm_mb: int
    tmp_mb: int
    hierarchies: list[str]
    expose: list[str]

    def to_line(self) -> str:
        """Write one line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def main() -> None:
    """Boot the node that the line on stdin describes."""
    line = sys.stdin.readline()
    if not line:
        sys.exit("whoever switched this node on went away")
    spec = NodeSpec(**json.loads(line))
    layout = Layout(Path(spec.cluster))
    os.umask(0o022)
    socket.sethostname(spec.name)
    _network(spec)
    _kernel_file_systems(spec)
    _own_files(spec, layout)
    daemons.start(spec.name, layout, spec.login, accounting=spec.accounting)
    BOOTED.touch()
    print(time.strftime("%T"), spec.name, "is up", flush=True)
    _reap()


def _network(spec: NodeSpec) -> None:
    _sh("ip", "link", "set", "lo", "up")
    _sh("ip", "addr", "add", f"{spec.address}/{PREFIX_BITS}", "dev", "eth0")
    _sh("ip", "link", "set", "eth0", "up")
    if spec.gateway:
        _sh("ip", "route", "add", "default", "via", spec.gateway)


def _kernel_file_systems(spec: NodeSpec) -> None:
    """Mount /sys of this network namespace and control groups with this node as their root."""
    _sh("mount", "-t", "sysfs", "sysfs", "/sys")
    if not spec.hierarchies:
        return
    _sh("mount", "-t", "tmpfs", "-o", "mode=755", "cgroup", cgroups.ROOT)
    for hierarchy in spec.hierarchies:
        (cgroups.ROOT / hierarchy).mkdir()
        _sh("mount", "-t", "cgroup", "-o", hierarchy, "cgroup", cgroups.ROOT / hierarchy)
        for controller in hierarchy.split(","):
            if controller != hierarchy:
                (cgroups.ROOT / controller).symlink_to(hierarchy)


def _own_files(spec: NodeSpec, layout: Layout) -> None:
    """Give the node its own /etc, /run, /tmp, /var/tmp and /dev/shm."""
    _sh("mount", "--bind", layout.etc, "/etc")
    _sh("mount", "--bind", layout.hosts(spec.name), "/etc/hosts")
    _sh("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    staged = expose.stage(expose.normalise([layout.root, *spec.expose]), Path("/run/exposed"))
    disk = Layout(staged[layout.root.resolve()]).node(spec.name)  # its own path is about to be hidden
    if spec.tmp_mb:
        _sh("mount", "-t", "tmpfs", "-o", f"mode=1777,size={spec.tmp_mb}m", "tmp", "/tmp")
    else:
        _sh("mount", "--bind", disk / "tmp", "/tmp")
    _sh("mount", "--bind", disk / "var-tmp", "/var/tmp")
    _sh("mount", "-t", "tmpfs", "-o", f"mode=1777,size={spec.shm_mb}m", "shm", "/dev/shm")
    expose.place(staged)


def _reap() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def _sh(*command: str | Path) -> None:
    subprocess.run(command, check=True)
