"""XennaExecutor: pipelines on cosmos-xenna's engine, whose parts a run replaces so that nothing is lost.

It may import `run`, `adapter`, `backends.xenna.engine`, `backends`, the ground floor and `common`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curator_slurm.executors.backends.xenna.executor import XennaExecutor

__all__ = ["XennaExecutor"]


def __getattr__(name: str) -> Any:
    """Load the executor, and Ray with it, when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from curator_slurm.executors.backends.xenna.executor import XennaExecutor

    return XennaExecutor
