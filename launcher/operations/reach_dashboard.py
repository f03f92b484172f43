"""How Ray's dashboard of a running run is reached: which job has one, and the command for it.

It listens on localhost of the head node and asks for the token of its Ray; nothing here opens it to anybody else.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.files import read_object
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs import owners
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of
from curator_slurm.launcher.tunnel.tunnel import RELAY

LOCAL_PORT = 8265
"""Where the user's own browser finds it, unless another port is asked for."""


@dataclass(frozen=True)
class Target:
    """The dashboard of one running job."""

    run: Run
    plan: Plan
    element: ClusterPaths
    head: str
    port: int
    shard: int | None = None
    """Which was asked for."""

    @property
    def job(self) -> str:
        return self.element.job_id

    @property
    def by_srun(self) -> bool:
        """Whether the site says that nobody logs in to nodes by ssh."""
        return self.plan.site is not None and self.plan.at_site().network.ssh_to_nodes is False

    @property
    def socket(self) -> Path:
        """The near end on the login node, the same whoever computes it."""
        return Path(tempfile.gettempdir(), f"curator-slurm-{os.geteuid()}", f"{self.run.run_id}.{self.element.name}")


def find_dashboard(run: Run, shard: int | None = None) -> Target:
    """The dashboard of a run of ours.

    Raises:
        UsageError: the run has none, does not run, or several of its elements do.
        ForeignRunError: it is somebody else's.
    """
    owners.check_own(run.paths, "dashboard")
    plan = read_plan(run)
    if plan.spec.dashboard is not Dashboard.FULL:
        raise UsageError(
            f"run {run.run_id} has no dashboard: its plan has not `cluster.dashboard: true`; submit or retry it with "
            "--set cluster.dashboard=true"
        )
    status = status_of(run)
    if status.state not in (RunState.RUNNING, RunState.DRAINING, RunState.STARTING):
        raise UsageError(f"run {run.run_id} is {status.state}: its Ray, and so the dashboard, is there while it runs")
    found = [each for each in run.paths.existing_elements() if _answers(each)]
    if shard is not None:
        found = [each for each in found if each.attempt(shard).root.is_dir()]
    if not found:
        what = f"shard {shard}" if shard is not None else "the run"
        raise UsageError(f"run {run.run_id}: no Ray of {what} has begun yet, or it has ended; try again in a moment")
    if len(found) > 1:
        jobs = ", ".join(each.job_id for each in found[:5])
        raise UsageError(
            f"run {run.run_id} has {len(found)} elements that run, each with a dashboard ({jobs}); choose by --shard N"
        )
    return _target(run, plan, found[0], shard)


def _answers(element: ClusterPaths) -> bool:
    return element.cluster.exists() and not element.outcome.exists()


def _target(run: Run, plan: Plan, element: ClusterPaths, shard: int | None) -> Target:
    record = read_object(element.cluster) or {}
    host, _, port = str(record.get("dashboard") or "").rpartition(":")
    number = whole_number(port)
    if host != "127.0.0.1" or number is None:
        raise UsageError(f"run {run.run_id}: its Ray was started without a dashboard")
    return Target(run, plan, element, str(record.get("head")), number, shard)


def step_of(target: Target) -> list[str]:
    """The step that carries a tunnel: it shares what the job has, and needs next to nothing.

    Raises:
        UsageError: the job is heterogeneous, or no job of Slurm's.
    """
    if target.plan.components:
        raise UsageError(
            f"run {target.run.run_id} is a heterogeneous job, which a tunnel by srun does not reach; where the site "
            "lets you log in to your nodes, --through ssh does"
        )
    if target.plan.cluster is not Cluster.SLURM:
        raise UsageError(f"run {target.run.run_id} runs on this machine: there is nothing to tunnel through")
    python = target.plan.python or sys.executable
    options = [f"--jobid={target.job}", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={target.head}"]
    return ["srun", *options, "--mem=0", "--unbuffered", "--quiet", python, "-I", "-S", str(RELAY), str(target.port)]


def command_for(target: Target, local_port: int, *, by_srun: bool) -> str:
    """What to paste on one's own machine, which then has the dashboard at http://localhost:PORT."""
    login = f"{getpass.getuser()}@{socket.getfqdn()}"
    if not by_srun:
        way = ["-L", f"localhost:{local_port}:127.0.0.1:{target.port}", "-J", login]
        return shlex.join(["ssh", "-N", *way, f"{getpass.getuser()}@{target.head}"])
    words = [sys.executable, "-m", "curator_slurm", "dashboard", str(target.run.paths.root), "--tunnel"]
    words += ["--shard", str(target.shard)] if target.shard is not None else []
    there = shlex.join(words)
    return shlex.join(["ssh", "-t", "-L", f"localhost:{local_port}:{target.socket}", login, there])
