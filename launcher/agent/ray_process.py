"""Ray on one node as its agent sees it: what is started, with which environment, and its life."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.common.quiet_ray import METRICS_OFF, PRESTART_OFF
from curator_slurm.executors.backends.xenna_env import RAY_START_ENV, STATE_LIMITS
from curator_slurm.launcher.agent import credentials
from curator_slurm.launcher.agent.cluster_scale import ray_settings
from curator_slurm.launcher.agent.interfaces import at_port, host_of
from curator_slurm.launcher.agent.ports import PortBlock
from curator_slurm.launcher.agent.processes import MARKER, die_with_parent
from curator_slurm.launcher.agent.ray_starter import COMPLETE, FALLBACK, PHASE, STARTED
from curator_slurm.launcher.slurm.nodelists import expand_nodelist
from curator_slurm.launcher.tails import last_lines

_SHM = Path("/dev/shm")
_KILLED_WITHIN_S = 5.0
_MOST_OUTPUT = 1 << 20
_MOST_CONNECTIONS = 2000.0
"""Attempts of all workers in a second to connect to a head that has not started yet."""
MOST_NAMES = 1000
"""Nodes named in NO_PROXY: a variable has a limit."""
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
    head_raylet: str | None = None
    """`ip:port` of the head's own node, which a worker's Ray asks for; known of a head that tells it."""
    dashboard: Dashboard = Dashboard.OFF
    metrics: bool = False
    nodes: int = 1
    """In the run."""
    group: str | None = None
    """Of nodes of its kind (`resources.groups`), as a label in Ray."""

    @property
    def gcs_address(self) -> str:
        return self.head_address or at_port(self.address, self.ports["gcs"])

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
            f"--include-dashboard={'false' if node.dashboard is Dashboard.OFF else 'true'}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={ports['dashboard']}",
            "--no-monitor",
        ]
    else:
        command += [f"--address={node.head_address}"]
    first, last = ports.workers
    if node.group is not None:
        command += [f"--labels={GROUP_LABEL}={node.group}"]
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


def services(node: RayNode) -> dict[str, Any]:
    """The same for `ray_starter`, which starts less of it."""
    ports = node.ports
    first, last = ports.workers
    parameters: dict[str, Any] = {
        "node_ip_address": node.address,
        "node_name": node.address,
        "temp_dir": node.ray_dir,
        "num_cpus": node.cpus,
        "num_gpus": node.gpus,
        "memory": node.memory,
        "object_store_memory": node.object_store,
        "node_manager_port": ports["node_manager"],
        "object_manager_port": ports["object_manager"],
        "metrics_agent_port": ports["agent_grpc"],
        "dashboard_agent_listen_port": ports["agent_http"],
        "runtime_env_agent_port": ports["runtime_env_agent"],
        "metrics_export_port": ports["metrics_export"],
        "min_worker_port": first,
        "max_worker_port": last,
    }
    if node.group is not None:
        parameters["labels"] = {GROUP_LABEL: node.group}
    full = node.dashboard is Dashboard.FULL
    if node.head_address is None:
        parameters |= {
            "gcs_server_port": ports["gcs"],
            "no_monitor": True,
            "include_dashboard": node.dashboard is not Dashboard.OFF,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": ports["dashboard"],
            "ray_client_server_port": ports["client_server"] if full else None,
        }
    else:
        parameters["gcs_address"] = node.head_address
    head = node.head_address is None
    return {"head": head, "parameters": parameters, "dashboard": node.dashboard, "agents": full or node.metrics}


def ray_environment(
    base: Mapping[str, str], node: RayNode, access: credentials.Credentials, *, xenna: bool
) -> dict[str, str]:
    """Environment of Ray and the driver, and so of every worker process of the node.

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
            **{name: base.get(name, value) for name, value in PRESTART_OFF.items()},
            **(_metrics(node) if node.metrics else METRICS_OFF),
            "TMPDIR": node.temporary_dir,
            MARKER: node.session_dir,
        }
    )
    for name in ("NO_PROXY", "no_proxy"):
        if any(variable in base for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")):
            own = ["127.0.0.1", "localhost", node.address, host_of(node.gcs_address)]
            hosts = [base.get(name, ""), *own, *_nodes_of_job(base)]
            environment[name] = ",".join(host for host in hosts if host)
    return environment


def _nodes_of_job(base: Mapping[str, str]) -> list[str]:
    """The names of the job's nodes, of as many as one variable should hold."""
    try:
        return expand_nodelist(base.get("SLURM_JOB_NODELIST", ""))[:MOST_NAMES]
    except ValueError:
        return []


def _metrics(node: RayNode) -> dict[str, str]:
    return {"RAY_enable_metrics_collection": "1", "DASHBOARD_METRIC_PORT": str(node.ports["dashboard_metrics"])}


class RayProcess:
    """A process that imports Ray and starts it when told (`ray_starter`); ends with the agent, however that ends."""

    def __init__(self, node: RayNode, environment: Mapping[str, str], output: Path, umask: int) -> None:
        self.node = node
        self.output = output
        self._begun = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
        self._first_line = _lines_in(output)
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "curator_slurm.launcher.agent.ray_starter"],
                env=self._begun,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                umask=umask,
                preexec_fn=die_with_parent(),
            )

    def begin(self, node: RayNode, environment: Mapping[str, str]) -> None:
        """Start Ray: with the head's address on a worker."""
        self.node = node
        command = start_command(node)
        with self.output.open("ab") as log:
            log.write((" ".join(["as by:", *command]) + "\n").encode())
        changed = {name: value for name, value in environment.items() if self._begun.get(name) != value}
        changed.pop("RAY_ADDRESS", None)
        order = {
            "command": command,
            "environment": changed,
            "services": services(node),
            "wait_for": [address for address in (node.head_address, node.head_raylet) if address],
            "pause_s": max(0.05, node.nodes / _MOST_CONNECTIONS),
        }
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{json.dumps(order)}\n".encode())
            self.process.stdin.close()

    def has_started(self) -> bool:
        """Whether this node is a member of its cluster, by what it has printed."""
        return any(STARTED in line for line in self._lines())

    def is_complete(self) -> bool:
        """Whether the dashboard is there, too, where one is wanted."""
        lines = self._lines()
        if any(COMPLETE in line for line in lines):
            return True
        return any(FALLBACK in line for line in lines) and any(STARTED in line for line in lines)

    def phases(self) -> dict[str, float]:
        """What has been reached, and when."""
        found = {}
        for line in self._lines():
            name, _, moment = line.removeprefix(PHASE).partition(" ")
            if line.startswith(PHASE):
                with contextlib.suppress(ValueError):
                    found[name] = float(moment)
        return found

    def _lines(self) -> list[str]:
        with contextlib.suppress(OSError):
            return self.output.read_text(errors="replace")[:_MOST_OUTPUT].splitlines()[self._first_line :]
        return []

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of what it printed."""
        return last_lines(self.output, count)

    def stop(self, grace_s: float) -> None:
        """Ask it to stop, and kill it after `grace_s`; what it leaves behind is for `processes.kill_ours`."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
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


def _lines_in(output: Path) -> int:
    """Of processes before this one."""
    with contextlib.suppress(OSError):
        return len(output.read_text(errors="replace").splitlines())
    return 0
