"""What Ray's exceptions mean to a run: a worker has died, results are gone, or a stage has failed."""

from __future__ import annotations

from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    ActorUnschedulableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from curator_slurm.executors.task_failures import ExecutorError, ObjectsLostError, WorkerLostError, short_error

WORKER_DIED = (
    ActorUnschedulableError, LocalRayletDiedError, NodeDiedError, OutOfMemoryError, RayActorError,
    TaskUnschedulableError, WorkerCrashedError,
)  # fmt: skip
"""The process that had the work is gone, or its node, or there is no node for it any more."""
RESULTS_LOST = (NodeDiedError, ObjectLostError, ObjectsLostError)
"""Objects are gone with the node or the process that held them."""


def causes(error: BaseException) -> list[BaseException]:
    """An error and all that it wraps, Ray's wrappers included."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or any(current is other for other in seen):
            continue
        seen.append(current)
        waiting += [getattr(current, "cause", None), current.__cause__, current.__context__]
    return seen


def results_lost(error: BaseException) -> bool:
    """Whether the error, or one that it wraps, tells of lost objects."""
    return any(isinstance(cause, RESULTS_LOST) for cause in causes(error))


def worker_is_silent(error: BaseException) -> bool:
    """Whether a worker does not answer: its node may be dead without Ray knowing it yet."""
    return any(isinstance(cause, ActorUnavailableError) for cause in causes(error))


def worker_cannot_start(error: BaseException) -> bool:
    """Whether a worker failed in its constructor: the stage cannot be unpickled there, mostly for want of a module."""
    return bool(getattr(error, "actor_init_failed", False))


def executor_error(error: BaseException) -> ExecutorError | None:
    """What an error means: the executors' own error that Ray or an engine has wrapped, or a loss that Ray tells of.

    None where it is neither. An exception of a stage crosses Ray as the cause of a RayTaskError, which poses as a
    StageError too.
    """
    for cause in causes(error):
        if isinstance(cause, ExecutorError) and not isinstance(cause, RayError):
            return cause
    if results_lost(error):
        return ObjectsLostError(f"results that were still needed are gone: {short_error(error)}\n\n{error}")
    if any(isinstance(cause, WORKER_DIED) for cause in causes(error)):
        return WorkerLostError(f"workers have died: {short_error(error)}\n\n{error}")
    return None


def fetch(refs: Any) -> Any:
    """`ray.get` of results.

    Raises:
        ObjectsLostError: Ray does not have them any more.
    """
    try:
        return ray.get(refs)
    except RayError as error:
        raise ObjectsLostError(f"a result was lost before it could be fetched: {short_error(error)}") from error
