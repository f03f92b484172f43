"""What Ray's exceptions mean: a worker has died, results are gone, or a stage has failed."""

from __future__ import annotations

import pytest
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    NodeDiedError,
    ObjectLostError,
    ObjectReconstructionFailedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayError,
    RayTaskError,
    ReferenceCountingAssertionError,
    TaskUnschedulableError,
    WorkerCrashedError,
)

from curator_slurm.executors.run.ray_errors import executor_error, results_lost, worker_cannot_start, worker_is_silent
from curator_slurm.executors.task_failures import ObjectsLostError, StageError, WorkerLostError

LOST = [
    ObjectLostError("ab", None, ""),
    ObjectReconstructionFailedError("ab"),
    OwnerDiedError("ab", None, ""),
    ReferenceCountingAssertionError("ab", None, ""),
    NodeDiedError("no heartbeat"),
    ObjectsLostError("ours"),
]
DIED = [
    ActorDiedError(),
    ActorUnavailableError("no answer", b"1" * 16),
    ActorUnschedulableError("no such node"),
    OutOfMemoryError("the node is short of memory"),
    TaskUnschedulableError("no such node"),
    WorkerCrashedError(),
]


def wrapped(cause: Exception) -> RayError:
    """As Ray hands on what a task has raised."""
    error: RayError = RayTaskError("process", "the remote traceback", cause).as_instanceof_cause()
    return error


def engine_error(cause: Exception) -> RuntimeError:
    """As an engine hands on what Ray has raised."""
    try:
        raise RuntimeError("the pipeline has failed") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_results_that_are_gone(error: Exception) -> None:
    for shown in (error, engine_error(error)):
        assert results_lost(shown)
        assert type(executor_error(shown)) is ObjectsLostError


@pytest.mark.parametrize("error", DIED, ids=lambda error: type(error).__name__)
def test_workers_that_have_died(error: Exception) -> None:
    for shown in (error, engine_error(error)):
        assert not results_lost(shown)
        assert type(executor_error(shown)) is WorkerLostError
        assert worker_is_silent(shown) == isinstance(error, ActorUnavailableError)


def test_the_executors_own_error_is_found_in_what_is_wrapped_around_it() -> None:
    own = StageError("model", "process_batch of task 0_7", "ValueError: seven", "traceback")
    for shown in (own, wrapped(own), engine_error(wrapped(own))):
        found = executor_error(shown)
        assert type(found) is StageError
        assert str(found) == str(own)


def test_any_other_error_is_none_of_these() -> None:
    assert executor_error(RuntimeError("of the engine")) is None
    assert executor_error(wrapped(ValueError("seven"))) is None


def test_a_constructor_that_fails_is_no_death() -> None:
    assert not worker_cannot_start(ActorDiedError())
    assert worker_cannot_start(ActorDiedError(RayTaskError("__init__", "no module", ImportError("no module"))))
