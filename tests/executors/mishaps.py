"""Stages to which one thing happens at one number: for the table of what becomes of rows.

`once` is a file to remember by: with it the thing happens the first time only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xenna_ray import MEMORY_GROUPS
from xenna_stages import Number, Step

BAD = 7
OOM_LIMIT = 400 << 20
RAY_SHARE, HELD_SHARE = 0.7, 0.9
"""Shares of a node's memory: where Ray begins to kill workers, and how far the task goes that is to be killed."""
NODE_MEMORY = 4 << 30


class Mishap(Step):
    """Does what `happening` says at one number; every number is passed on."""

    def __init__(
        self, name: str, happening: str, once: Path | None = None, batch_size: int = 4, group: str = ""
    ) -> None:
        """`group` begins the names of control groups, for OOM."""
        super().__init__(name, batch_size, cpus=0.5)
        self.happening = happening
        self.once = once
        self.group = group

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        if self.happening == "raise in setup_on_node":
            raise RuntimeError("the disk is full")

    def setup(self, worker_metadata: Any = None) -> None:
        if self.happening == "raise in setup":
            raise RuntimeError("the model is missing")
        if self.happening == "exit in setup":
            os._exit(3)

    def process(self, task: Any) -> Any:
        if task.data == BAD and not (self.once and self.once.exists()):
            if self.once:
                self.once.touch()
            if self.happening == "OOM":
                _run_out_of_memory(f"{self.group}-{os.getpid()}")
            happen = _HAPPENINGS.get(self.happening)
            if happen is not None:
                return happen(task)
        return task


def _raise(_task: Any) -> Any:
    raise ValueError("seven is not allowed")


def _garbage(_task: Any) -> Any:
    return {"not": "a task"}


def _unsendable(task: Any) -> Any:
    return Number("numbers", threading.Lock())  # type: ignore[arg-type]


def _kill(_task: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault(_task: Any) -> Any:
    ctypes.string_at(0)


def _exit(_task: Any) -> Any:
    os._exit(1)


def _run_out_of_memory(name: str) -> None:
    """More than a control group of this process alone allows: the kernel kills it."""
    group = MEMORY_GROUPS / name
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(OOM_LIMIT))
    (group / "cgroup.procs").write_text(str(os.getpid()))
    hoard = []
    while True:
        hoard.append(b"x" * (16 << 20))


def _crowd_out(_task: Any) -> Any:
    """More than Ray allows its workers on this node, and less than the kernel does: Ray's memory monitor kills."""
    limit = int((MEMORY_GROUPS / "memory.limit_in_bytes").read_text())
    hoard = []
    while _in_use() < HELD_SHARE * limit:
        hoard.append(b"x" * (16 << 20))
        time.sleep(0.01)
    time.sleep(3600)


def _in_use() -> int:
    """Bytes of all processes in the control group that Ray sees, without files."""
    lines = (MEMORY_GROUPS / "memory.stat").read_text().splitlines()
    figures = dict(line.split() for line in lines)
    return int(figures["total_rss"]) + int(figures.get("total_shmem", 0))


def _hang(_task: Any) -> Any:
    time.sleep(3600)


def _hang_in_c(_task: Any) -> Any:
    """Nothing in Python can interrupt this."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # it would end the sleep
    libc = ctypes.PyDLL(None)  # holds the interpreter's lock, so that not even another thread gets to run
    while True:
        libc.sleep(3600)


_HAPPENINGS: dict[str, Callable[[Any], Any]] = {
    "raise": _raise,
    "garbage": _garbage,
    "unsendable": _unsendable,
    "SIGKILL": _kill,
    "segfault": _segfault,
    "exit": _exit,
    "OOM by Ray": _crowd_out,
    "hang": _hang,
    "hang in C": _hang_in_c,
}


def can_run_out_of_memory() -> bool:
    """Whether this user may make control groups with a limit of their own."""
    return os.access(MEMORY_GROUPS, os.W_OK) and (MEMORY_GROUPS / "memory.limit_in_bytes").exists()


@contextlib.contextmanager
def small_node() -> Iterator[tuple[Path, dict[str, str]]]:
    """A control group that is to be a node's memory, and the settings with which Ray's memory monitor minds it."""
    group = MEMORY_GROUPS / f"curator-slurm-test-node-{uuid.uuid4().hex[:12]}"
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(NODE_MEMORY))
    try:
        yield group, {"RAY_memory_usage_threshold": str(RAY_SHARE), "RAY_memory_monitor_refresh_ms": "50"}
    finally:
        kills = remove_groups(group.name)
    assert not kills, "the kernel was quicker than Ray's memory monitor"


def remove_groups(prefix: str) -> int:
    """Remove control groups of workers, and say how many processes the kernel has killed in them."""
    kills = 0
    for group in MEMORY_GROUPS.glob(f"{prefix}*"):
        control = (group / "memory.oom_control").read_text().splitlines()
        kills += sum(int(line.split()[1]) for line in control if line.startswith("oom_kill "))
        deadline = time.monotonic() + 10
        while group.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                group.rmdir()
            time.sleep(0.02)
    return kills


class Inflate(Step):
    """Makes a payload of each number that is too large to travel inside a message."""

    def process(self, task: Any) -> Any:
        made = Number("numbers", task.data)
        made._metadata["payload"] = os.urandom(300_000)
        return made


class Slowly(Step):
    """Takes its time, and writes each number down when it begins."""

    def __init__(self, name: str, journal: Path, seconds: float = 0.15) -> None:
        super().__init__(name, 1, cpus=0.5)
        self.journal = journal
        self.seconds = seconds

    def process(self, task: Any) -> Any:
        descriptor = os.open(self.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{task.data}\n".encode())
        os.close(descriptor)
        time.sleep(self.seconds)
        return task


class UntilElsewhere(Step):
    """Is slow until it has run on two nodes; writes the node of each task down."""

    def __init__(self, name: str, journal: Path) -> None:
        super().__init__(name, 1)
        self.journal = journal

    def process(self, task: Any) -> Any:
        import ray

        with self.journal.open("a") as file:
            file.write(f"{ray.get_runtime_context().get_node_id()}\n")
        if len(set(self.journal.read_text().split())) < 2:
            time.sleep(1)
        return task


class Deflate(Step):
    """Takes the payload off again."""

    def process(self, task: Any) -> Any:
        assert len(task._metadata.pop("payload")) == 300_000
        return task
