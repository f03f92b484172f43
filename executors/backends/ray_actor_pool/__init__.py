"""RayActorPoolExecutor: every stage on a pool of Ray actors of its own.

It may import `run`, `adapter`, the ground floor and `common`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curator_slurm.executors.backends.ray_actor_pool.executor import RayActorPoolExecutor

__all__ = ["RayActorPoolExecutor"]


def __getattr__(name: str) -> Any:
    """Load the executor, and Ray with it, when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from curator_slurm.executors.backends.ray_actor_pool.executor import RayActorPoolExecutor

    return RayActorPoolExecutor
