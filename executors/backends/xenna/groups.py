"""To which group of nodes each stage belongs: the engine's solver knows none, and is asked for each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from curator_slurm.executors.backends.xenna.fit import Demand
from curator_slurm.executors.run.placement import ClusterNode


def with_groups(demands: Sequence[Demand], nodes: Sequence[ClusterNode]) -> tuple[list[Demand], list[str]]:
    """The demands, each with a group where one of them has one, and names and groups of stages that were given theirs.

    Where no node is in a group, none counts.
    A stage that names no group and needs GPUs goes to the one with most of them, of those with enough on one node; any
    other goes to the one with most CPUs among those without GPUs, or among all.
    """
    known = list(dict.fromkeys(node.group for node in nodes if node.group is not None))
    if not known or all(demand.group is None for demand in demands):
        return [replace(demand, group=None) for demand in demands], []
    cpus = {group: sum(node.cpus for node in nodes if node.group == group) for group in known}
    gpus = {group: sum(node.gpus for node in nodes if node.group == group) for group in known}
    plain = [group for group in known if not gpus[group]] or known
    without = max(plain, key=cpus.__getitem__)

    def group_of(demand: Demand) -> str:
        if not demand.gpus:
            return without
        able = {node.group for node in nodes if demand.gpus <= node.gpus + 1e-6}  # CPUs can be shared, GPUs cannot
        return max([group for group in known if group in able] or known, key=gpus.__getitem__)

    given = [replace(demand, group=demand.group or group_of(demand)) for demand in demands]
    chosen = [f"{after.stage}: {after.group}" for before, after in zip(demands, given, strict=True) if before != after]
    return given, chosen
