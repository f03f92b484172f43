"""From what the engine raises to what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from curator_slurm.executors.failures import ExecutorError


def raise_own_error(error: BaseException) -> NoReturn:
    """Raise the error of ours that the engine and Ray have wrapped, or ``error`` itself if there is none.

    An exception of a stage crosses Ray as the cause of a RayTaskError, and setup failures are wrapped once
    more by the engine. `StageError` carries the original traceback in its message.
    """
    for inner in _causes(error):
        if isinstance(inner, ExecutorError):
            raise inner from None
    raise error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        cause = getattr(current, "cause", None)
        waiting += [cause if isinstance(cause, BaseException) else None, current.__cause__, current.__context__]
