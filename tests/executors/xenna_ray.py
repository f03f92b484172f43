"""A Ray of its own for tests, held by a child process so that nothing of it stays in the test process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from curator_slurm.common.quiet_ray import PRESTART_OFF
from curator_slurm.executors.backends.xenna_env import RAY_START_ENV

_HOLD = """
import ctypes, os, signal, sys, threading
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: tests that are killed leave no Ray behind
cpus, gpus, port, folder = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
store = (int(sys.argv[5]) << 20) or None
dashboard = {"include_dashboard": True, "dashboard_port": port} if port else {"include_dashboard": False}
import ray
from ray._private.node import Node
Node.start_monitor = lambda node: None  # as the launcher, which starts Ray without an autoscaler
Node.start_log_monitor = lambda node: None  # workers' logs stay where they are
context = ray.init(
    address="local", num_cpus=cpus, num_gpus=gpus, **dashboard,
    _temp_dir=folder + "/ray", log_to_driver=False, object_store_memory=store,
)
def tell(name, text):
    with open(f"{folder}/{name}.tmp", "w") as file:
        file.write(text)
    os.rename(f"{folder}/{name}.tmp", f"{folder}/{name}")

def tell_nodes():
    tell("nodes", " ".join(key for node in ray.nodes() if node["Alive"] for key in node["Resources"]))

ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
tell("address", context.address_info["gcs_address"])
while not ended.wait(0.1):
    if os.path.exists(folder + "/ask"):
        os.unlink(folder + "/ask")
        tell_nodes()
ray.shutdown()
"""

MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@dataclass(frozen=True)
class TestRay:
    """A running Ray: where it is and what a driver needs in its environment."""

    __test__ = False
    env: dict[str, str]
    folder: Path
    start_env: dict[str, str]
    """What further nodes need when they are started."""
    holder: subprocess.Popen[bytes]

    def resources(self) -> set[str]:
        """Names of the resources of nodes that are alive, from the holder: a driver that asks costs two seconds."""
        answer = self.folder / "nodes"
        answer.unlink(missing_ok=True)
        (self.folder / "ask").touch()  # no signal: the kernel may give that to another thread, and nobody wakes up
        return set(_wait_for(answer, self.holder).split())

    def worker_pids(self) -> set[int]:
        """Processes of the engine that belong to this Ray, whoever their parent is by now."""
        return {
            process.pid
            for process in psutil.process_iter()
            if _is_engine_worker(process) and _writes_below(process.pid, self.folder)
        }


@contextlib.contextmanager
def start_ray(
    cpus: float,
    gpus: int = 0,
    env: dict[str, str] | None = None,
    store_mb: int = 0,
    *,
    memory_group: Path | None = None,
    dashboard: bool = True,
    tidy: bool = True,
) -> Iterator[TestRay]:
    """Start a Ray with its dashboard on a port that is not the default one; end it with all its processes.

    Without `dashboard` it has 11 processes less; cosmos-xenna asks it for the states of actors, the others do not.
    `store_mb` is the size of its object store; 0: Ray's choice. `memory_group` is a control group (version 1) that it
    runs in and takes for the machine's own, as in a container. A process that outlives it is an error, unless `tidy` is
    False: for executors that are not ours.
    """
    folder = Path(tempfile.mkdtemp(prefix="xr-", dir="/tmp"))
    variables = {"RAY_AUTH_MODE": "disabled", **PRESTART_OFF, **RAY_START_ENV, **(env or {})}
    variables = {name: value.replace("{folder}", str(folder)) for name, value in variables.items()}
    if "RAY_AUTH_TOKEN_PATH" in variables:
        Path(variables["RAY_AUTH_TOKEN_PATH"]).write_text("ab" * 32)
    outside = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    port = _free_port() if dashboard else 0
    with (folder / "log").open("w") as log:
        holder = subprocess.Popen(
            [
                *([] if memory_group is None else _inside(memory_group)),
                *(sys.executable, "-c", _HOLD, str(cpus), str(gpus), str(port), str(folder), str(store_mb)),
            ],
            env={**outside, "PYTHONPATH": python_path(), **variables},
            stdout=log,
            stderr=log,
        )
    try:
        address = _wait_for(folder / "address", holder)
        driver = {name: value for name, value in variables.items() if name.startswith("RAY_AUTH")}
        yield TestRay({**driver, "RAY_ADDRESS": address}, folder, variables, holder)
    finally:
        holder.send_signal(signal.SIGTERM)
        try:
            holder.wait(120)
        except subprocess.TimeoutExpired:
            holder.kill()
        left = _left_over(folder, patience_s=60 if tidy else 2)
        shutil.rmtree(folder, ignore_errors=True)
        assert not (left and tidy), f"processes have outlived their Ray: {left}"


def _inside(group: Path) -> list[str]:
    """Begin of a command that runs in this control group, mounted in the place of the one that all others are in."""
    script = 'echo $$ > "$1/cgroup.procs" && mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(group), str(MEMORY_GROUPS)]


def python_path() -> str:
    """Where processes of the tests find these modules, and those of the tests, whose stages are pickled by name."""
    here = Path(__file__).parent
    folders = sorted({path.parent for path in here.rglob("*.py")})
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def _left_over(folder: Path, patience_s: float) -> list[str]:
    """Processes of this Ray that are still there some time after its end; ended now."""
    deadline = time.monotonic() + patience_s
    while found := [process for process in psutil.process_iter() if _belongs_to(process, folder)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    commands = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            commands.append(" ".join(process.cmdline())[:200])
            process.kill()
    return commands


def _belongs_to(process: psutil.Process, folder: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        named = any(str(folder) in part for part in process.cmdline())
    except psutil.Error:
        return False
    return named or _writes_below(process.pid, folder)


def _is_engine_worker(process: psutil.Process) -> bool:
    try:
        command = process.cmdline() or [""]
        running = process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
    return running and command[0].startswith(("ray::Stage", "ray::NodeResourceMonitor"))


def _writes_below(pid: int, folder: Path) -> bool:
    """Whether its standard output goes to a log in this folder, which tells one Ray's workers from another's."""
    try:
        return Path(f"/proc/{pid}/fd/1").readlink().is_relative_to(folder)
    except OSError:
        return False


def _wait_for(path: Path, holder: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 300  # many tests may hang on this one
    while time.monotonic() < deadline:
        if path.exists():
            return path.read_text()
        if holder.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"Ray gave no {path.name}:\n{(path.parent / 'log').read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
