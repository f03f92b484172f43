"""What the Ray cluster offers, as the engine describes it, with requests that fit it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from loguru import logger

from curator_slurm.executors.backends.xenna.engine.cluster import describe_nodes, engine_places
from curator_slurm.executors.backends.xenna.engine.groups import Groups
from curator_slurm.executors.backends.xenna.fit import Demand, Fit, fit, shrink_further
from curator_slurm.executors.backends.xenna.gpus import numbered, probe_gpu_names
from curator_slurm.executors.run.placement import ClusterNode, Need, usable_nodes

_SHRINK = 0.8
_MAX_SHRINKS = 30


class AliveNodes:
    """The alive nodes of the connected Ray, and the names of their GPUs."""

    def __init__(self, *, ignore_head_node: bool = False) -> None:
        self.nodes = [
            replace(node, gpus=math.floor(node.gpus))
            for node in usable_nodes(ray.nodes(), ignore_head_node=ignore_head_node)
        ]
        self.gpu_names = probe_gpu_names({node.node_id: int(node.gpus) for node in self.nodes})

    @property
    def has_gpus(self) -> bool:
        """Whether any node has a GPU."""
        return any(node.gpus for node in self.nodes)

    def count(self, group: str | None) -> int:
        """How many nodes a stage may be on."""
        return sum(Need(0, 0, group).allows(node.group) for node in self.nodes)

    def groups(self, demands: Sequence[Demand], names: Sequence[str]) -> Groups | None:
        """Which stages, by the engine's names of them, may be on which nodes; None where that is all the same."""
        stages = {name: demand.group for name, demand in zip(names, demands, strict=True) if demand.group is not None}
        nodes = {node.node_id: node.group for node in self.nodes if node.group is not None}
        return Groups(nodes, stages) if stages else None

    def _by_group(self, demands: Sequence[Demand]) -> dict[str | None, list[ClusterNode]]:
        return {
            group: [node for node in self.nodes if Need(0, 0, group).allows(node.group)]
            for group in {demand.group for demand in demands}
        }

    def plan(
        self, demands: Sequence[Demand], cpu_share: float, *, together: bool, ask_engine: bool = True
    ) -> tuple[Any, Fit]:
        """The engine's cluster description and what each stage asks for, so that the engine can place all.

        `ask_engine`: let its own solver try, where the stages just fit.
        """
        found = fit(self.nodes, demands, cpu_share, together=together)
        gpus = {node: numbered(names) for node, names in self.gpu_names.items()}
        described = describe_nodes(found.node_cpus, gpus)
        parts = {
            name: describe_nodes({node.node_id: found.node_cpus[node.node_id] for node in own}, gpus)
            for name, own in self._by_group(demands).items()
        }
        for _ in range(_MAX_SHRINKS if ask_engine and _is_tight(found, demands) else 0):
            if all(engine_places(parts[group[0].group], group) for group in _groups(demands, found, together)):
                break
            found = shrink_further(found, _SHRINK)
        if found.note:
            logger.warning(found.note)
        return described, found


def _is_tight(found: Fit, demands: Sequence[Demand]) -> bool:
    """Whether placing one worker of each stage could fail for the way they are packed."""
    wanted = sum(cpus * demand.workers for cpus, demand in zip(found.stage_cpus, demands, strict=True))
    return wanted > sum(found.node_cpus.values()) / 2 or any(demand.gpus for demand in demands)


def _groups(demands: Sequence[Demand], found: Fit, together: bool) -> list[list[Demand]]:
    scaled = [
        Demand(demand.stage, cpus, demand.gpus, workers or demand.workers, group=demand.group)
        for demand, cpus, workers in zip(demands, found.stage_cpus, found.stage_workers, strict=True)
    ]
    if not together:
        return [[demand] for demand in scaled]
    return [[demand for demand in scaled if demand.group == group] for group in {demand.group for demand in scaled}]
