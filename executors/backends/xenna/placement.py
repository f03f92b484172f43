"""What the Ray cluster offers, as the engine describes it, with requests that fit it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from cosmos_xenna.pipelines.private import autoscaling_algorithms, data_structures, resources
from loguru import logger

from curator_slurm.executors.backends.xenna.fit import Demand, Fit, fit, shrink_further
from curator_slurm.executors.backends.xenna.gpus import gpu_resources, probe_gpu_names
from curator_slurm.executors.run.placement import usable_nodes

_SHRINK = 0.8
_MAX_SHRINKS = 30


class Cluster:
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

    def plan(self, demands: Sequence[Demand], cpu_share: float, *, together: bool) -> tuple[Any, Fit]:
        """The engine's cluster description and what each stage asks for, so that the engine can place all."""
        found = fit(self.nodes, demands, cpu_share, together=together)
        described = self._describe(found)
        for _ in range(_MAX_SHRINKS if _is_tight(found, demands) else 0):
            if all(_engine_places(described, group) for group in _groups(demands, found, together)):
                break
            found = shrink_further(found, _SHRINK)
        if found.note:
            logger.warning(found.note)
        return described, found

    def _describe(self, found: Fit) -> Any:
        return resources.ClusterResources(
            {
                node.node_id: resources.NodeResources(
                    used_cpus=0.0,
                    total_cpus=found.node_cpus[node.node_id],
                    gpus=gpu_resources(node.node_id, self.gpu_names.get(node.node_id, [])),
                    name=node.node_id,
                )
                for node in self.nodes
            }
        )


def _is_tight(found: Fit, demands: Sequence[Demand]) -> bool:
    """Whether placing one worker of each stage could fail for the way they are packed."""
    wanted = sum(cpus * demand.workers for cpus, demand in zip(found.stage_cpus, demands, strict=True))
    return wanted > sum(found.node_cpus.values()) / 2 or any(demand.gpus for demand in demands)


def _groups(demands: Sequence[Demand], found: Fit, together: bool) -> list[list[Demand]]:
    scaled = [
        Demand(demand.stage, cpus, demand.gpus, workers or demand.workers)
        for demand, cpus, workers in zip(demands, found.stage_cpus, found.stage_workers, strict=True)
    ]
    return [scaled] if together else [[demand] for demand in scaled]


def _engine_places(described: Any, group: Sequence[Demand]) -> bool:
    """Ask the engine's own solver whether every stage gets its workers: it may pack worse than `fit`."""
    stages = [
        data_structures.ProblemStage(
            name=f"{index} {demand.stage}",
            stage_batch_size=1,
            worker_shape=resources.Resources(cpus=demand.cpus, gpus=demand.gpus).to_worker_shape(described),
            requested_num_workers=demand.workers if demand.workers > 1 else None,
            over_provision_factor=None,
        )
        for index, demand in enumerate(group)
    ]
    state = data_structures.ProblemState(
        [
            data_structures.ProblemStageState(stage_name=stage, workers=[], slots_per_worker=2, is_finished=False)
            for stage in (f"{index} {demand.stage}" for index, demand in enumerate(group))
        ]
    )
    solver = autoscaling_algorithms.FragmentationBasedAutoscaler(180.0, 5)
    solver.setup(data_structures.Problem(described, stages))
    try:
        solution = solver.autoscale(0.0, state)
    except Exception as error:
        logger.debug(f"the engine's solver finds no placement: {error}")
        return False
    return all(len(placed.new_workers) >= demand.workers for placed, demand in zip(solution.stages, group, strict=True))
