"""Faults as clusters have them, planted on nodes of the test Slurm for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from slurm_cluster import SlurmCluster
from slurm_cluster.machine import signal_group
from slurm_cluster.waiting import wait_for

HEALTHY_GPU = "{0}, GPU-0000000{0}-aaaa, 570.86.15, Disabled, 0, No, 0, 0, None"
_AN_HOUR_AHEAD = "import time\n_real = time.time\ntime.time = lambda: _real() + 3600\n"


class Faults:
    """Planted one after the other, and taken away together."""

    def __init__(self, cluster: SlurmCluster, undo: ExitStack) -> None:
        self.cluster = cluster
        self._undo = undo

    def on(self, node: str, *command: str) -> None:
        self.cluster.run(command, user=None, node=node, check=True)

    def later(self, node: str, *command: str) -> None:
        self._undo.callback(self.on, node, *command)

    def little_shared_memory(self, node: str) -> None:
        """/dev/shm of 40 MB."""
        self.on(node, "mount", "-t", "tmpfs", "-o", "mode=1777,size=40m", "little", "/dev/shm")
        self.later(node, "umount", "--lazy", "/dev/shm")

    def hidden_folder(self, node: str, folder: Path) -> None:
        """A folder that this node does not mount: another, empty one is there."""
        self.on(node, "mount", "-t", "tmpfs", "-o", "mode=755", "hidden", str(folder))
        self.later(node, "umount", "--lazy", str(folder))

    def folder_of_the_node(self, node: str, folder: str) -> None:
        """A folder that this node has, and others do not."""
        self.on(node, "mkdir", "-p", "-m", "1777", folder)
        self.later(node, "rm", "-rf", folder)

    def private_interface(self, node: str, name: str, address: str) -> None:
        """An interface with an address by which nobody is reached: its other end is on the node itself."""
        self.on(node, "ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-end")
        self.later(node, "ip", "link", "del", name)
        self.on(node, "ip", "addr", "add", f"{address}/24", "dev", name)
        for end in (name, f"{name}-end"):
            self.on(node, "ip", "link", "set", end, "up")

    def firewall(self, node: str, ports: str) -> None:
        """Connections of this node to these ports are refused, as by a firewall."""
        rule = ("pref", "7", "ipproto", "tcp", "dport", ports, "prohibit")
        self.on(node, "ip", "rule", "add", *rule)
        self.later(node, "ip", "rule", "del", *rule)

    def taken_port(self, node: str, port: int) -> None:
        """Another program listens there."""
        source = f"import socket, time; s = socket.create_server(('', {port})); time.sleep(600)"
        process = self.cluster.popen(["python", "-c", source], user=None, node=node)
        self._undo.callback(process.wait)
        self._undo.callback(signal_group, process.pid, 9)
        listening = ["ss", "-ltnH", f"sport = :{port}"]
        wait_for("the other program", lambda: self.cluster.run(listening, user=None, node=node).stdout.strip(), 30)

    def profile(self, text: str) -> None:
        """What login shells of all nodes read."""
        path = self.cluster.layout.etc / "profile"
        before = path.read_text() if path.exists() else ""
        self._undo.callback(path.write_text, before)
        path.write_text(f"{before}\n{text}\n")


@contextmanager
def faults(cluster: SlurmCluster) -> Iterator[Faults]:
    with ExitStack() as undo:
        yield Faults(cluster, undo)


def clock_ahead(folder: Path) -> str:
    """A folder for PYTHONPATH with which Python's clock is an hour ahead."""
    place = folder / "ahead"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_AN_HOUR_AHEAD)
    return str(place)


def other_ray(folder: Path, version: str) -> str:
    """A folder for PYTHONPATH with which Ray is of another version."""
    info = folder / f"ray-of-{version}" / f"ray-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ray\nVersion: {version}\n")
    return str(info.parent)


def gpu_tool(folder: Path, name: str, rows: Sequence[str]) -> str:
    """A folder for PATH with an nvidia-smi that prints these rows."""
    tool = folder / name / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\ncat <<'END'\n" + "".join(f"{row}\n" for row in rows) + "END\n")
    tool.chmod(0o755)
    return str(tool.parent)


def on_node(number: int, commands: str) -> str:
    """A line of environment.setup for one node alone."""
    return f"[[ $SLURM_NODEID != {number} ]] || {{ {commands}; }}"
