"""Pipelines, stages, tasks, and three executors that run them.

Importing this package imports neither Ray nor an engine: executors load when they are first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curator_slurm.executors.composite import CompositeStage
from curator_slurm.executors.decorators import processing_stage
from curator_slurm.executors.errors import ExperimentalExecutorWarning
from curator_slurm.executors.pipeline import Pipeline
from curator_slurm.executors.registry import make_executor
from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.tasks import DocumentBatch, EmptyTask, FailedTask, FileGroupTask, NoneTask, Task

if TYPE_CHECKING:
    from curator_slurm.executors.backends.ray_actor_pool import RayActorPoolExecutor
    from curator_slurm.executors.backends.ray_data import RayDataExecutor
    from curator_slurm.executors.backends.xenna import XennaExecutor

__all__ = [
    "CompositeStage",
    "DocumentBatch",
    "EmptyTask",
    "ExperimentalExecutorWarning",
    "FailedTask",
    "FileGroupTask",
    "NoneTask",
    "Pipeline",
    "ProcessingStage",
    "RayActorPoolExecutor",
    "RayDataExecutor",
    "Resources",
    "Task",
    "XennaExecutor",
    "make_executor",
    "processing_stage",
]

_LAZY = {"XennaExecutor": "xenna", "RayDataExecutor": "ray_data", "RayActorPoolExecutor": "ray_actor_pool"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from curator_slurm.executors.registry import executor_class

    return executor_class(_LAZY[name])
