"""A Ray for measurements, of one or several nodes on this machine, which processes of its own hold and end.

The same file holds the Ray, in the environment of whoever is measured: it needs the standard library and Ray alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

MARK = "CURATOR_SLURM_BENCHMARK_RAY"
"""In the environment of all processes of a Ray: which one it is."""
READY = "listening at "
# What the cluster of every side is started with: the variables that cosmos-xenna asks for.
RAY_ENV = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
    "RAY_MAX_LIMIT_FROM_API_SERVER": "40000",
    "RAY_MAX_LIMIT_FROM_DATA_SOURCE": "40000",
}


@dataclass(frozen=True)
class Layout:
    """The nodes of a Ray: how many, and what each of them offers."""

    nodes: int = 1
    cpus: float = 2
    gpus: int = 0
    store_mb: int = 0
    """Of the object store of each node; 0 leaves it to Ray."""


def outside_env() -> dict[str, str]:
    """This process's environment without what belongs to another Ray."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}


@contextlib.contextmanager
def running_ray(python: str, layout: Layout) -> Iterator[str]:
    """A Ray whose workers run in this Python's environment; yields its address."""
    with tempfile.TemporaryDirectory(prefix="cs-bench-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        holder = subprocess.Popen(
            [python, str(Path(__file__).resolve()), json.dumps(asdict(layout)), f"{folder}/ray"],
            env={**outside_env(), **RAY_ENV, MARK: folder}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdin is not None
        try:
            said = next((line for line in iter(holder.stdout.readline, "") if line.startswith(READY)), "")
            if not said:
                raise SystemExit(f"a Ray of {python} did not start")
            yield said.removeprefix(READY).strip()
        finally:
            holder.stdin.close()
            try:
                holder.wait(60)
            except subprocess.TimeoutExpired:
                holder.kill()
            end_marked(folder)


def end_marked(mark: str) -> None:
    """End what has outlived its Ray: workers of the peer's cosmos-xenna do."""
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


def hold_ray(layout: Layout, folder: str) -> None:
    """Be the Ray that the cases connect to, until standard input is closed."""
    import ray

    with __import__("socket").socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = (layout.store_mb << 20) or None
    context = ray.init(
        address="local", num_cpus=layout.cpus, num_gpus=layout.gpus, object_store_memory=store,
        include_dashboard=True, dashboard_port=port, _temp_dir=folder, log_to_driver=False,
    )  # fmt: skip
    address = context.address_info["gcs_address"]
    others = [start_node(address, layout, folder) for _ in range(layout.nodes - 1)]
    deadline = time.monotonic() + 120
    while sum(node["Alive"] for node in ray.nodes()) < layout.nodes:
        if time.monotonic() > deadline:
            raise SystemExit("a node did not join")
        for node in [node for node in others if node.poll() is not None]:  # Ray gives up on a loaded machine
            others.remove(node)
            others.append(start_node(address, layout, folder))
        time.sleep(0.1)
    print(f"{READY}{address}", flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    ended.wait()
    for node in others:
        node.terminate()
    for node in others:
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(15)
    ray.shutdown()


def start_node(address: str, layout: Layout, folder: str) -> subprocess.Popen[bytes]:
    """One more node of this Ray, on the same machine."""
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", f"--num-cpus={layout.cpus:g}",
        f"--num-gpus={layout.gpus}", "--include-log-monitor=false", "--block",
    ]  # fmt: skip
    if layout.store_mb:
        command.append(f"--object-store-memory={layout.store_mb << 20}")
    env = {**os.environ, "RAY_TMPDIR": folder}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    hold_ray(Layout(**json.loads(sys.argv[1])), sys.argv[2])
