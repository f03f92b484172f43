"""What happens to a run in a cell of `make faults`, by its name in tests/fault_cells.py."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fault_cells import FAULTS
from slurm_cluster import SlurmCluster
from slurm_cluster.disk import Disk
from slurm_cluster.rules import job_rules
from slurm_cluster.waiting import wait_for

STALL_S = 20
CRASH_S = 60
LIMIT_S = 40
"""How near the time limit is when it moves."""
PARTITION = "preempt"


@dataclass
class Scene:
    """A run that works, in the folder `run`; what must be put in order after its end is in `after`."""

    cluster: SlurmCluster
    run: Path
    quick: Path
    """A file that makes the rest of the work quick."""
    disk: Disk | None = None
    after: ExitStack = field(default_factory=ExitStack)

    def element(self) -> Path:
        """Of its elements that work, the first."""
        return min(path.parent for path in self.run.glob("elements/*/heartbeat"))

    @property
    def job(self) -> str:
        """The id of that element for Slurm's commands."""
        return self.element().name.rpartition(".")[0]

    def node(self, role: str) -> str:
        states = [json.loads(path.read_text()) for path in self.element().glob("nodes/*/status.json")]
        return next(str(each["node"]) for each in states if each["role"] == role)

    def pids(self, sign: str, role: str, user: str | None = SlurmCluster.user) -> list[int]:
        """Processes of the node in this role whose command line begins with or has `sign`."""
        found = self.cluster.processes(user, self.node(role))
        return sorted(process.pid for process in found if sign in process.command)

    def kill(self, sign: str, role: str = "head") -> None:
        """The first of those processes."""
        os.kill(self.pids(sign, role)[0], signal.SIGKILL)

    def slurm(self, *command: str) -> None:
        self.cluster.run(command, user=None, check=True)


def _nothing(_: Scene) -> None: ...


def _time_limit(scene: Scene) -> None:
    """Slurm looks every half a minute, so that much must be left to do; after it, little is."""
    element = scene.element()
    scene.slurm("scontrol", "update", f"JobId={scene.job}", f"EndTime=now+{LIMIT_S}")
    wait_for("the drain", lambda: '"drained"' in (element / "events.jsonl").read_text(), 3 * LIMIT_S)
    scene.quick.touch()


def _preempt(scene: Scene) -> None:
    wanted = [f"-N{len(scene.cluster.nodes)}", "--exclusive", "-t", "1", "-o", "/dev/null", "--wrap", "true"]
    scene.cluster.run(["sbatch", "-p", "main", *wanted], cwd=scene.cluster.shared, check=True)


def _preempt_with_grace(scene: Scene) -> None:
    scene.slurm("scontrol", "update", f"PartitionName={PARTITION}", "GraceTime=60")
    scene.after.callback(scene.slurm, "scontrol", "update", f"PartitionName={PARTITION}", "GraceTime=0")
    _preempt(scene)


def _requeue(scene: Scene) -> None:
    scene.slurm("scontrol", "requeue", scene.job)


def _power(role: str) -> Callable[[Scene], None]:
    def cut(scene: Scene) -> None:
        node = scene.node(role)
        scene.cluster.kill_node(node)
        scene.after.callback(scene.cluster.restore_node, node)

    return cut


def _link(role: str) -> Callable[[Scene], None]:
    def cut(scene: Scene) -> None:
        node = scene.node(role)
        scene.cluster.cut_node(node)
        scene.after.callback(_give_back, scene.cluster, node)

    return cut


def _give_back(cluster: SlurmCluster, node: str) -> None:
    """As an administrator does: only then Slurm asks a node that it gave up what still runs there."""
    cluster.restore_node(node)
    cluster.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], user=None)


def _stopped_head(scene: Scene) -> None:
    """Everything there stands still, as where its storage is behind the same link, and goes on when the run is over."""
    pids = scene.pids("", "head")
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    scene.after.callback(_go_on, pids)
    _link("head")(scene)


def _go_on(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _kill(sign: str, role: str = "head") -> Callable[[Scene], None]:
    return lambda scene: scene.kill(sign, role)


def _restart_slurmd(scene: Scene) -> None:
    node = scene.node("head")
    (pid, *_) = scene.pids("slurmd -D", "head", user=None)
    os.kill(pid, signal.SIGKILL)
    wait_for("slurmd to be gone", lambda: pid not in scene.pids("slurmd", "head", user=None))
    scene.cluster.run(["slurmd"], user=None, node=node, check=True)


def _crash_controller(scene: Scene) -> None:
    scene.cluster.kill_node(scene.cluster.login)
    threading.Event().wait(CRASH_S)
    scene.cluster.restore_node(scene.cluster.login)


def _storage(state: str) -> Callable[[Scene], None]:
    def happen(scene: Scene) -> None:
        assert scene.disk is not None
        with getattr(scene.disk, state)():
            threading.Event().wait(STALL_S)

    return happen


ACCIDENTS: dict[str, Callable[[Scene], None]] = {
    "nothing": _nothing,
    "time limit": _time_limit,
    "preemption, GraceTime 0": _preempt,
    "preemption, GraceTime 60": _preempt_with_grace,
    "scontrol requeue": _requeue,
    "time limit, requeue refused by the site": _time_limit,
    "power cut of a worker": _power("worker"),
    "power cut of the head": _power("head"),
    "link cut of a worker": _link("worker"),
    "link cut of the head, storage visible": _link("head"),
    "link cut of the head, its processes stopped": _stopped_head,
    "kill -9 of a raylet": _kill("raylet/raylet ", "worker"),
    "kill -9 of the GCS": _kill("gcs_server"),
    "kill -9 of the head's agent": _kill("node_agent --run-dir"),
    "kill -9 of the driver": _kill("launcher.driver.driver"),
    "kill -9 of srun": _kill("srun --nodes"),
    "kill -9 of the batch shell": _kill("slurm_script"),
    "slurmd restarted": _restart_slurmd,
    "slurmctld away for 60 s": _crash_controller,
    "storage full for 20 s": _storage("full"),
    "storage read-only for 20 s": _storage("read_only"),
    "storage hangs for 20 s": _storage("frozen"),
}
assert list(ACCIDENTS) == [fault.name for fault in FAULTS]


def prepared(cluster: SlurmCluster, fault: str, after: ExitStack) -> None:
    """What must be so before the run is submitted."""
    if "refused" in fault:
        after.enter_context(job_rules(cluster.layout, "job.requeue = 0"))
