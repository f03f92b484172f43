"""To which group of nodes each stage belongs: the engine's solver knows none, and is asked for each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from curator_slurm.executors.backends.xenna.fit import Demand
from curator_slurm.executors.run.placement import ClusterNode


def with_groups(demands: Sequence[Demand], nodes: Sequence[ClusterNode]) -> tuple[list[Demand], list[str]]:
    """The demands, each with a group where one of them has one, and names and groups of stages that were given theirs.

    Where no node is in a group, none counts.
    A stage that names no group goes to the one with most GPUs if it needs some, else to the one with most CPUs among
    those without GPUs, or among all.
    """
    known = list(dict.fromkeys(node.group for node in nodes if node.group is not None))
    if not known or all(demand.group is None for demand in demands):
        return [replace(demand, group=None) for demand in demands], []
    cpus = {group: sum(node.cpus for node in nodes if node.group == group) for group in known}
    gpus = {group: sum(node.gpus for node in nodes if node.group == group) for group in known}
    plain = [group for group in known if not gpus[group]] or known
    with_gpus, without = max(known, key=gpus.__getitem__), max(plain, key=cpus.__getitem__)
    given = [
        demand if demand.group is not None else replace(demand, group=with_gpus if demand.gpus else without)
        for demand in demands
    ]
    chosen = [f"{after.stage}: {after.group}" for before, after in zip(demands, given, strict=True) if before != after]
    return given, chosen
