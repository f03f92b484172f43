"""What errors of Ray mean to a run on the actor pool: a worker has died, results are gone, or a stage has failed."""

from __future__ import annotations

from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    ReferenceCountingAssertionError,
    WorkerCrashedError,
)

from curator_slurm.executors.run.rounds import causes
from curator_slurm.executors.task_failures import ExecutorError, ObjectsLostError, StageError, short_error

DEAD = (
    ActorDiedError, ActorUnavailableError, ActorUnschedulableError, NodeDiedError, OutOfMemoryError, RayActorError,
    WorkerCrashedError,
)  # fmt: skip
LOST = (ObjectLostError, ReferenceCountingAssertionError, NodeDiedError)


def original(error: RayError, stage: str) -> Exception:
    """The adapter's own error out of Ray's wrapper; anything else becomes one."""
    cause = getattr(error, "cause", None)
    if any(isinstance(inner, LOST) for inner in causes(error)):
        return ObjectsLostError(f"stage {stage!r} lost what it was to work on: {short_error(cause or error)}")
    if isinstance(cause, ExecutorError):
        return cause
    return StageError(stage, "a worker", short_error(cause or error), str(error))
