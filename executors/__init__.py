"""Curator's execution model: pipelines of stages, run by one of three executors on Ray.

Importing this package loads nothing: a module is loaded when one of its names is first used, Ray and cosmos-xenna when
an executor is. So the login node can read `known_options` in no time. It may import `common`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curator_slurm.executors.adapter.adapter import NodeInfo, WorkerMetadata
    from curator_slurm.executors.backends.ray_actor_pool.executor import RayActorPoolExecutor
    from curator_slurm.executors.backends.ray_data.executor import RayDataExecutor
    from curator_slurm.executors.backends.xenna.executor import XennaExecutor
    from curator_slurm.executors.base import BaseExecutor, ExperimentalWarning
    from curator_slurm.executors.pipeline import Pipeline
    from curator_slurm.executors.resources import Resources
    from curator_slurm.executors.stage import CompositeStage, ProcessingStage, processing_stage
    from curator_slurm.executors.tasks import AudioTask, DocumentBatch, EmptyTask, FileGroupTask, Task, VideoTask
    from curator_slurm.executors.video import Clip, ClipStats, Video, VideoMetadata

__all__ = [
    "AudioTask",
    "BaseExecutor",
    "Clip",
    "ClipStats",
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
    "Video",
    "VideoMetadata",
    "VideoTask",
    "WorkerMetadata",
    "XennaExecutor",
    "processing_stage",
]

_HOMES = {
    "adapter.adapter": ("NodeInfo", "WorkerMetadata"),
    "backends.ray_actor_pool.executor": ("RayActorPoolExecutor",),
    "backends.ray_data.executor": ("RayDataExecutor",),
    "backends.xenna.executor": ("XennaExecutor",),
    "base": ("BaseExecutor", "ExperimentalWarning"),
    "pipeline": ("Pipeline",),
    "resources": ("Resources",),
    "stage": ("CompositeStage", "ProcessingStage", "processing_stage"),
    "tasks": ("AudioTask", "DocumentBatch", "EmptyTask", "FileGroupTask", "Task", "VideoTask"),
    "video": ("Clip", "ClipStats", "Video", "VideoMetadata"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
