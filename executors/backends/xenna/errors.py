"""From what the engine raises to what went wrong."""

from __future__ import annotations

from typing import NoReturn

from ray.exceptions import RayError

from curator_slurm.executors.run.rounds import causes
from curator_slurm.executors.task_failures import ExecutorError


def raise_own_error(error: BaseException) -> NoReturn:
    """Raise the error of ours that the engine and Ray have wrapped, or ``error`` itself if there is none.

    An exception of a stage crosses Ray as the cause of a RayTaskError, which poses as one of ours too, and setup
    failures are wrapped once more by the engine. `StageError` carries the original traceback in its message.
    """
    for inner in causes(error):
        if isinstance(inner, ExecutorError) and not isinstance(inner, RayError):
            raise inner from None
    raise error
