"""Nodes that a job does without because they have failed: whether they may be named, and how. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.site.habits import OptionUse


def may_exclude(plan: Plan) -> bool:
    """Whether nodes may be named to the plan's Slurm; components of a heterogeneous job would need a list each."""
    habits_allow = plan.habits.nodelist is not OptionUse.NEVER
    return plan.cluster is Cluster.SLURM and not plan.spec.resources.groups and habits_allow


def excluded(plan: Plan, nodes: Sequence[str]) -> str:
    """These nodes for --exclude, with those that the spec names: the option replaces that of the script."""
    own = str(plan.spec.resources.sbatch.get("exclude") or "")
    return ",".join(filter(None, [own, *nodes]))
