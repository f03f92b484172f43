"""What every part of an agent shares: the plan, the allocation, the files, the request to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from curator_slurm.common.staged_paths import staged_here
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.credentials import Credentials, credentials_of, expects_tls
from curator_slurm.launcher.agent.fence import Fence
from curator_slurm.launcher.agent.memory import OutOfMemoryCounter
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.attempt_records import NodeState, NodeStatus
from curator_slurm.launcher.runs.node_paths import NodePaths
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.phases import Phase
from curator_slurm.launcher.runs.user_code import CODE
from curator_slurm.launcher.spec import curator_arrays
from curator_slurm.launcher.waiting import SignalFlag

log = logging.getLogger("curator_slurm.agent")

NO_WORK_ON_HEAD = "CURATOR_IGNORE_RAY_HEAD_NODE"
"""NeMo Curator's switch of all executors, its own and ours: no workers on Ray's head node."""


class StopRequest:
    """Set by a signal; `wait` is how agents sleep, so that a signal ends every sleep at once."""

    def __init__(self) -> None:
        self._flag = SignalFlag()
        self.signum: int | None = None
        """The first signal."""
        self.count = 0
        """Signals until now: the end of a preemption's grace shows as one more."""

    def install(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        for signum in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_IGN)

    def request(self, signum: int) -> None:
        """As if this signal had come."""
        self._on_signal(signum, None)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        self.count += 1
        self._flag.set()

    @property
    def requested(self) -> bool:
        return self._flag.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep; True as soon as a stop is wanted."""
        return self._flag.wait(seconds)


@dataclass
class AgentContext:
    """One agent's view of its job."""

    plan: Plan
    allocation: Allocation
    cluster: ClusterPaths
    stop: StopRequest
    environment: dict[str, str]
    plan_file: Path
    """Where the plan was read from."""
    umask: int = 0o077
    """The user's own, for Ray, drivers and published files; what the agent writes itself is private."""
    code: Path | None = None
    """The user's modules as they were submitted; None where there are none."""
    submission: int | None = None
    """The number of the submission that the job belongs to; None of one that was submitted by hand."""
    goes_on: bool = False
    """Whether this agent has left a request to go on, because the head is lost."""
    status: NodeStatus = field(init=False)
    attempt: AttemptPaths | None = None
    """Of a head: what its last driver is at."""
    fence: Fence = field(default_factory=Fence)
    """Of a head: whether others have begun what it is at."""
    memory: OutOfMemoryCounter = field(default_factory=OutOfMemoryCounter)
    encrypted: bool = field(init=False)
    """Whether Ray's traffic is: what this node expects, until the head has said it."""

    def __post_init__(self) -> None:
        self.encrypted = expects_tls(self.plan.spec.cluster.tls)
        given = self.allocation
        self.status = NodeStatus(
            given.node_name,
            given.node_id,
            "head" if given.is_head else "worker",
            NodeState.STARTING,
            group=self.group,
            cpus=given.cpus,
            gpus=given.gpus,
            memory=given.memory,
            staged=staged_here(self.environment),
        )

    @property
    def group(self) -> str | None:
        """The name of this node's group; None where the run has none."""
        components, number = self.plan.components, self.allocation.component
        return self.plan.spec.resources.groups[components[number]].name if number < len(components) else None

    @property
    def run(self) -> RunPaths:
        return self.cluster.run

    @property
    def node(self) -> NodePaths:
        return self.cluster.node(self.allocation.node_name)

    @property
    def credentials(self) -> Credentials:
        """What lets this node into the run's Ray."""
        folder = self.status.session_dir
        return credentials_of(self.cluster, Path(folder) if self.encrypted and folder else None)

    def reached(self, phase: Phase, at: float | None = None) -> None:
        """Note when something was reached first; written with the next report."""
        self.status.phases.setdefault(phase, round(time.time() if at is None else at, 3))

    def report(
        self,
        state: NodeState,
        message: str = "",
        *,
        failure_class: FailureClass | None = None,
        next_step: str = "",
        address: str | None = None,
        session_dir: str | None = None,
        versions: dict[str, str] | None = None,
    ) -> None:
        """Write this node's status; what is not given stays as it was. Storage that refuses is no reason to end."""
        self.status = replace(
            self.status,
            state=state,
            message=message or self.status.message,
            failure_class=failure_class or self.status.failure_class,
            next_step=next_step or self.status.next_step,
            address=address or self.status.address,
            session_dir=session_dir or self.status.session_dir,
            versions=versions or self.status.versions,
            memory_kills=self.memory.kills(),
        )
        try:
            self.status.write(self.node)
        except OSError as error:
            log.warning("cannot write %s: %s", self.node.status, storage_errors.what(error))

    def leave(self) -> None:
        """Write that this node has left the run, unless it says already how it ended."""
        if self.status.state not in (NodeState.FAILED, NodeState.LEFT):
            self.reached(Phase.LEFT)
            self.report(NodeState.LEFT, "left the run")


def start_logging(path: Path, *, echo: bool) -> None:
    """Log to the node's agent.log; `echo` sends everything to stderr too (else warnings only)."""
    log.setLevel(logging.INFO)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setLevel(logging.INFO if echo else logging.WARNING)
    with contextlib.suppress(OSError):  # stderr has it then
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(formatter)
        log.addHandler(handler)


def job_environment(base: Mapping[str, str], run: RunPaths, plan: Plan, code: Path | None = None) -> dict[str, str]:
    """Environment for Ray and the driver: with the secrets, the programs of our Python first on PATH, and what stands
    for the spec's folder on the module path.

    Raises:
        BootstrapError: a secret is not in the run's secrets, which are deleted when a run has ended.
    """
    environment = dict(base)
    if plan.spec.environment.secrets:
        values = read_json(run.secret_environment) or {}
        missing = [name for name in plan.spec.environment.secrets if name not in values]
        if missing:
            raise BootstrapError(
                FailureClass.ENVIRONMENT,
                f"environment.secrets: no value for {', '.join(missing)}; they are deleted when a run has ended",
                "submit the spec again with these variables set",
            )
        environment.update({name: str(values[name]) for name in plan.spec.environment.secrets})
    path = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    folder = str(code or plan.spec_dir)
    if folder not in path:
        path.append(folder)
    environment[CODE] = folder
    environment["PYTHONPATH"] = os.pathsep.join(path)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    if plan.spec.has_own_head:
        environment[NO_WORK_ON_HEAD] = "1"
    return curator_arrays.off(environment) if plan.array else environment
