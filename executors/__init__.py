"""Curator's execution model: pipelines of stages, run by one of three executors on Ray.

Importing this package imports neither Ray nor cosmos-xenna; an executor does when it is first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curator_slurm.executors.adapter import NodeInfo, WorkerMetadata
from curator_slurm.executors.base import BaseExecutor, ExperimentalWarning
from curator_slurm.executors.pipeline import Pipeline
from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import CompositeStage, ProcessingStage, processing_stage
from curator_slurm.executors.tasks import DocumentBatch, EmptyTask, FileGroupTask, Task

if TYPE_CHECKING:
    from curator_slurm.executors.backends.ray_actor_pool import RayActorPoolExecutor
    from curator_slurm.executors.backends.ray_data import RayDataExecutor
    from curator_slurm.executors.backends.xenna import XennaExecutor

__all__ = [
    "BaseExecutor",
    "CompositeStage",
    "DocumentBatch",
    "EmptyTask",
    "ExperimentalWarning",
    "FileGroupTask",
    "NodeInfo",
    "Pipeline",
    "ProcessingStage",
    "RayActorPoolExecutor",
    "RayDataExecutor",
    "Resources",
    "Task",
    "WorkerMetadata",
    "XennaExecutor",
    "processing_stage",
]

_EXECUTORS = {"XennaExecutor": "xenna", "RayDataExecutor": "ray_data", "RayActorPoolExecutor": "ray_actor_pool"}


def __getattr__(name: str) -> Any:
    if name in _EXECUTORS:
        from curator_slurm.executors.registry import load_executor

        return load_executor(_EXECUTORS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
