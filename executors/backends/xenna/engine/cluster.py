"""The cluster and its stages in the engine's words, and whether the engine can place them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

from loguru import logger

_PRIVATE = "cosmos_xenna.pipelines.private"
_SLOTS = 2


class StageDemand(Protocol):
    """What the workers of one stage need."""

    @property
    def stage(self) -> str: ...
    @property
    def cpus(self) -> float: ...
    @property
    def gpus(self) -> float: ...
    @property
    def workers(self) -> int: ...


def describe_nodes(cpus: Mapping[str, float], gpus: Mapping[str, Sequence[tuple[int, str]]]) -> Any:
    """The engine's description of nodes: CPUs of each, and number and name of its GPUs."""
    resources = import_module(f"{_PRIVATE}.resources")
    return resources.ClusterResources(
        {
            node: resources.NodeResources(
                used_cpus=0.0,
                total_cpus=count,
                gpus=[
                    resources.GpuResources(index, uuid.uuid5(uuid.NAMESPACE_OID, f"{node}/{name}"), 0.0)
                    for index, name in gpus.get(node, ())
                ],
                name=node,
            )
            for node, count in cpus.items()
        }
    )


def engine_places(described: Any, group: Sequence[StageDemand]) -> bool:
    """Ask the engine's own solver whether every stage gets its workers: it may pack worse than `fit`."""
    resources, structures = import_module(f"{_PRIVATE}.resources"), import_module(f"{_PRIVATE}.data_structures")
    algorithms = import_module(f"{_PRIVATE}.autoscaling_algorithms")
    labels = [f"{index} {demand.stage}" for index, demand in enumerate(group)]
    stages = [
        structures.ProblemStage(
            name=label,
            stage_batch_size=1,
            worker_shape=resources.Resources(cpus=demand.cpus, gpus=demand.gpus).to_worker_shape(described),
            requested_num_workers=demand.workers if demand.workers > 1 else None,
            over_provision_factor=None,
        )
        for label, demand in zip(labels, group, strict=True)
    ]
    state = structures.ProblemState(
        [
            structures.ProblemStageState(stage_name=label, workers=[], slots_per_worker=_SLOTS, is_finished=False)
            for label in labels
        ]
    )
    solver = algorithms.FragmentationBasedAutoscaler(180.0, 5)
    solver.setup(structures.Problem(described, stages))
    try:
        solution = solver.autoscale(0.0, state)
    except Exception as error:
        logger.debug(f"the engine's solver finds no placement: {error}")
        return False
    return all(len(placed.new_workers) >= demand.workers for placed, demand in zip(solution.stages, group, strict=True))
