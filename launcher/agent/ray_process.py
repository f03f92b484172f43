"""`ray start` on one node: its command line, its environment, and its life."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.ray_metrics import METRICS_OFF
from curator_slurm.executors.backends.xenna_env import RAY_START_ENV, STATE_LIMITS
from curator_slurm.launcher.agent import credentials
from curator_slurm.launcher.agent.cluster_scale import ray_settings
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.agent.processes import MARKER, die_with_parent
from curator_slurm.launcher.tails import last_lines

_SHM = Path("/dev/shm")
_KILLED_WITHIN_S = 5.0
MIN_OBJECT_STORE = 80 * (1 << 20)
"""Ray refuses less than 75 MB."""


@dataclass(frozen=True)
class RayNode:
    """What `ray start` needs to know about a node; memory in bytes."""

    address: str
    ports: PortBlock
    session_dir: str
    cpus: int
    gpus: int
    memory: int
    object_store: int
    head_address: str | None = None
    """None on the head itself; `ip:port` on a worker."""
    nodes: int = 1
    """In the run."""

    @property
    def gcs_address(self) -> str:
        return self.head_address or f"{self.address}:{self.ports['gcs']}"

    @property
    def ray_dir(self) -> str:
        return f"{self.session_dir}/ray"

    @property
    def temporary_dir(self) -> str:
        """TMPDIR of everything in the run, so that nothing of it stays on the node."""
        return f"{self.session_dir}/tmp"


def split_memory(memory: int, fraction: float, shm: int) -> tuple[int, int]:
    """(heap, object store) in bytes of a node with `memory`: the store takes `fraction`, but fits in /dev/shm.

    Both come out of one allocation, because Slurm counts /dev/shm as memory of the job.
    """
    store = max(min(int(memory * fraction), int(shm * 0.95)), MIN_OBJECT_STORE)
    return max(memory - store, MIN_OBJECT_STORE), store


def start_command(node: RayNode) -> list[str]:
    """The arguments of `ray start`; every port is fixed, because random ports of two jobs on a node meet."""
    ports = node.ports
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    if node.head_address is None:
        command += [
            "--head",
            f"--port={ports['gcs']}",
            f"--ray-client-server-port={ports['client_server']}",
            "--include-dashboard=true",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={ports['dashboard']}",
            "--no-monitor",
        ]
    else:
        command += [f"--address={node.head_address}"]
    first, last = ports.workers
    return [
        *command,
        f"--node-ip-address={node.address}",
        f"--temp-dir={node.ray_dir}",
        f"--num-cpus={node.cpus}",
        f"--num-gpus={node.gpus}",
        f"--memory={node.memory}",
        f"--object-store-memory={node.object_store}",
        f"--node-manager-port={ports['node_manager']}",
        f"--object-manager-port={ports['object_manager']}",
        f"--dashboard-agent-grpc-port={ports['agent_grpc']}",
        f"--dashboard-agent-listen-port={ports['agent_http']}",
        f"--runtime-env-agent-port={ports['runtime_env_agent']}",
        f"--metrics-export-port={ports['metrics_export']}",
        f"--min-worker-port={first}",
        f"--max-worker-port={last}",
    ]


def ray_environment(
    base: Mapping[str, str], node: RayNode, access: credentials.Credentials, *, xenna: bool, metrics: bool = False
) -> dict[str, str]:
    """Environment of `ray start` and the driver, and so of every worker process of the node.

    With `xenna`, Ray leaves the visible GPUs of workers to cosmos-xenna; any other program expects Ray to set them.
    """
    drop = (
        *credentials.VARIABLES,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
        "RAY_TMPDIR",
        "RAY_NAMESPACE",
        "RAY_JOB_CONFIG_JSON_ENV_VAR",
    )
    environment = {**STATE_LIMITS, **{name: value for name, value in base.items() if name not in drop}}
    if xenna:
        environment.update(RAY_START_ENV)
    environment.update(
        {
            "RAY_ADDRESS": node.gcs_address,
            **access.environment(),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DEDUP_LOGS": base.get("RAY_DEDUP_LOGS", "0"),  # else it hides lines that users print
            **ray_settings(node.nodes, os.cpu_count() or 1, base),
            **(_metrics(node) if metrics else METRICS_OFF),
            "TMPDIR": node.temporary_dir,
            MARKER: node.session_dir,
        }
    )
    for name in ("NO_PROXY", "no_proxy"):
        if any(variable in base for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")):
            hosts = [base.get(name, ""), "127.0.0.1", "localhost", node.address, node.gcs_address.rsplit(":", 1)[0]]
            environment[name] = ",".join(host for host in hosts if host)
    return environment


def _metrics(node: RayNode) -> dict[str, str]:
    return {"RAY_enable_metrics_collection": "1", "DASHBOARD_METRIC_PORT": str(node.ports["dashboard_metrics"])}


class RayProcess:
    """A running `ray start --block`; ends with the agent, even if the agent is killed."""

    def __init__(self, node: RayNode, environment: Mapping[str, str], output: Path, umask: int) -> None:
        self.node = node
        self.output = output
        command = start_command(node)
        start_environment = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
        with output.open("ab") as log:
            log.write((" ".join(command) + "\n").encode())
            log.flush()
            self.process = subprocess.Popen(
                command,
                env=start_environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                umask=umask,
                preexec_fn=die_with_parent(),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of what `ray start` printed."""
        return last_lines(self.output, count)

    def stop(self, grace_s: float) -> None:
        """Ask it to stop, and kill it after `grace_s`; what it leaves behind is for `processes.kill_ours`."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        if self.process.poll() is None:
            self.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # it may wait for storage that does not answer
                self.process.wait(_KILLED_WITHIN_S)


def shared_memory_size() -> int:
    """Free bytes in /dev/shm."""
    import shutil

    return shutil.disk_usage(_SHM).free
