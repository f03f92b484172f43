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
        return RestartChoice(Mechanism.RESUBMIT, "the site does not requeue jobs: slurm.requeue is never")
    return RestartChoice(Mechanism.REQUEUE, "auto, where the site requeues jobs")


_WAYS = {
    Mechanism.REQUEUE: "Slurm queues the same job again",
    Mechanism.RESUBMIT: "its job submits a new one when it ends",
    Mechanism.CHAIN: "further jobs wait in the queue for the end of the one before",
}


def in_words(plan: Plan) -> str:
    """The mechanism, why it is this one, and after which ends; empty where there is no Slurm."""
    choice, restart = restart_choice(plan), plan.spec.restart
    if plan.cluster is Cluster.LOCAL:
        return ""
    if choice.mechanism is Mechanism.OFF:
        return f"none ({choice.why}); `retry` goes on with what is not done"
    after = [each.value for each in restart.on] + ["out_of_memory"] * (restart.on_out_of_memory is not None)
    return f"{choice.mechanism}: {_WAYS[choice.mechanism]} ({choice.why}), after {', '.join(after)}"
