"""Several Ray nodes on this machine, which can be added, and cut off from one moment to the next."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
from xenna_ray import TestRay, python_path, start_ray

from curator_slurm.common.group_label import GROUP_LABEL

QUICK_DEATH = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
"""A dead node is to be noticed within seconds, but one that is only slow must not be called dead."""


class RayNodes:
    """The nodes beside the head."""

    def __init__(self, head: TestRay) -> None:
        self.head = head
        self.env = head.env
        self._started: list[subprocess.Popen[bytes]] = []

    def add(self, cpus: float = 2, gpus: int = 0, group: str | None = None) -> int:
        """Start a node and wait until it has joined; its number. Ray gives up on a loaded machine: try again then."""
        for attempt in range(4):
            mark = f"node_{len(self._started)}_{attempt}"
            node = self._start(cpus, gpus, mark, group)
            if self._joined(node, mark):
                self._started.append(node)
                return len(self._started) - 1
            end(node)
        raise RuntimeError(f"no Ray node could be started:\n{(self.head.folder / 'nodes.log').read_text()[-3000:]}")

    def _start(self, cpus: float, gpus: int, mark: str, group: str | None) -> subprocess.Popen[bytes]:
        folder = self.head.folder
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={self.env['RAY_ADDRESS']}",
            f"--num-cpus={cpus:g}", f"--num-gpus={gpus}", "--object-store-memory=200000000", "--block",
            "--include-log-monitor=false",
            f'--resources={{"{mark}": 1}}', *([] if group is None else [f"--labels={GROUP_LABEL}={group}"]),
        ]  # fmt: skip
        outside = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        with (folder / "nodes.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env={**outside, **self.head.start_env, "PYTHONPATH": python_path(), "RAY_TMPDIR": str(folder / "ray")},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _joined(self, node: subprocess.Popen[bytes], mark: str) -> bool:
        """Wait until the cluster has this node, or it has given up."""
        deadline = time.monotonic() + 120
        while node.poll() is None and time.monotonic() < deadline:
            if mark in self.head.resources():
                return True
            time.sleep(0.2)
        return False

    def cut(self, number: int) -> None:
        """End all processes of a node at once, as when its power fails."""
        end(self._started[number])

    def cut_last(self) -> None:
        """The node that was added last."""
        self.cut(len(self._started) - 1)

    def end(self) -> None:
        for number, node in enumerate(self._started):
            if node.poll() is None:
                self.cut(number)


def end(node: subprocess.Popen[bytes]) -> None:
    """Kill a node's processes, stopped before so that none of them sees another one die."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(node.pid)
        seen: dict[int, psutil.Process] = {}
        while len(found := [root, *root.children(recursive=True)]) > len(seen):
            for process in found:
                seen[process.pid] = process
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.suspend()
        for process in seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    node.wait(10)


@contextlib.contextmanager
def start_nodes(count: int, head_cpus: float = 1) -> Iterator[RayNodes]:
    """A head and so many more nodes."""
    with start_ray(cpus=head_cpus, env=QUICK_DEATH) as head:
        nodes = RayNodes(head)
        try:
            for _ in range(count):
                nodes.add()
            yield nodes
        finally:
            nodes.end()


def wait_for_lines(path: os.PathLike[str], count: int, seconds: float = 120) -> None:
    """Until a file has so many lines."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError), open(path) as file:
            if sum(1 for _ in file) >= count:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{path} never had {count} lines")
