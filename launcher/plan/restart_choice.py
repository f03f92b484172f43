"""How a run goes on after its job has ended: what its spec wants, or what its site allows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.site.habits import OptionUse
from curator_slurm.launcher.spec.restart_section import Mechanism


@dataclass(frozen=True)
class RestartChoice:
    """The mechanism, never `auto`, and why it is this one."""

    mechanism: Mechanism
    why: str


def restart_choice(plan: Plan) -> RestartChoice:
    """The mechanism of a plan."""
    restart = plan.spec.restart
    if plan.cluster is Cluster.LOCAL:
        return RestartChoice(Mechanism.OFF, "it runs on this machine, without Slurm")
    if restart.mechanism is not Mechanism.AUTO:
        return RestartChoice(restart.mechanism, "restart.mechanism")
    if not restart.on and restart.on_out_of_memory is None:
        return RestartChoice(Mechanism.OFF, "restart.on is empty")
    if plan.habits.requeue is OptionUse.NEVER:
        return RestartChoice(Mechanism.RESUBMIT, "the site does not requeue jobs (slurm.requeue: never)")
    return RestartChoice(Mechanism.REQUEUE, "auto, where the site requeues jobs")
