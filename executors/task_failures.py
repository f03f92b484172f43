"""What happens to tasks that fail: the policy, the errors, and the record of every failed task."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class OnTaskError(StrEnum):
    """What one failed task does to the run."""

    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class FailurePolicy:
    """`task_retries` is how often a failing batch is tried again before it is split or given up;
    `max_failed_tasks` is the most tasks that may be skipped, None for any number; `task_timeout_s` is the time limit
    of one task; that of a batch is as many times as long as it has tasks."""

    on_task_error: OnTaskError = OnTaskError.FAIL
    task_retries: int = 0
    max_failed_tasks: int | None = None
    task_timeout_s: float | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FailurePolicy:
        """The policy in an executor's config; `ignore_failures: true` means skip.

        Raises:
            ValueError: a value makes no sense, or two contradict each other.
        """
        given = config.get("on_task_error")
        ignore = config.get("ignore_failures")
        if given is None:
            action = OnTaskError.SKIP if ignore else OnTaskError.FAIL
        else:
            try:
                action = OnTaskError(given)
            except ValueError:
                raise ValueError(f"on_task_error must be fail or skip, not {given!r}") from None
            if ignore and action is OnTaskError.FAIL:
                raise ValueError("ignore_failures: true contradicts on_task_error: fail")
        retries, most = config.get("task_retries"), config.get("max_failed_tasks")
        for name, value in (("task_retries", retries), ("max_failed_tasks", most)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ValueError(f"{name} must be a whole number, 0 or more, not {value!r}")
        timeout = config.get("task_timeout_s")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0):
            raise ValueError(f"task_timeout_s must be a number of seconds above 0, not {timeout!r}")
        return cls(action, retries or 0, most, timeout)

    @property
    def skips(self) -> bool:
        return self.on_task_error is OnTaskError.SKIP

    @property
    def deaths_allowed(self) -> int:
        """How many workers may die while they run a task alone before the task counts as failed.

        At least two, even without retries: a worker may die for other reasons.
        """
        return max(2, self.task_retries)


@dataclass(frozen=True)
class FailedTaskRecord:
    """One line of failures.jsonl: a task, or rows that a stage left out of one (`rows`), with their file and line.

    Of a task, `file` is the one that all of it comes from.
    """

    stage: str
    task_id: str
    source: str
    attempt: int
    error: str
    traceback: str
    file: str | None = None
    line: int | None = None
    rows: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields, without those that say nothing of a task as a whole."""
        last = ("file", "line", "rows")
        return {key: value for key, value in vars(self).items() if key not in last or value is not None}


class ExecutorError(Exception):
    """Base of what executors raise on purpose."""


class StageError(ExecutorError):
    """A stage failed for good; the message holds stage, task ids and the original traceback.

    Picklable as it is, whatever the original exception was made of.
    """

    def __init__(self, stage: str, what: str, error: str, details: str) -> None:
        super().__init__(stage, what, error, details)
        self.stage = stage
        self.what = what
        self.error = error
        self.details = details

    @classmethod
    def from_exception(cls, stage: str, what: str, error: BaseException, files: Iterable[str] = ()) -> StageError:
        """Wrap the exception that is being handled; `what` says in which call it came up, of which files."""
        return cls(stage, what, short_error(error, files), "".join(traceback.format_exception(error)))

    def __str__(self) -> str:
        return f"stage {self.stage!r} failed in {self.what}: {self.error}\n\n{self.details}"


class TooManyFailedTasksError(ExecutorError):
    """More tasks failed than `max_failed_tasks` allows."""


class ObjectsLostError(ExecutorError):
    """Results that were still needed are gone, with the node that held them."""


class WorkerLostError(ExecutorError):
    """Workers of a stage die before they can process anything, or no node has room for them."""


class DoesNotFitError(ExecutorError, ValueError):
    """The nodes that are there cannot hold the workers of the stages."""


class LastNodeLostError(WorkerLostError):
    """The last node that could hold workers of a stage has gone, and none has come in its place: to begin again is no
    use."""


class DrainedError(ExecutorError):
    """The run was told to drain, and ended before everything was done.

    `finished` are the source partitions that it has finished, and recorded; `left` those that it knows of and has not.
    None where they are not recorded.
    """

    def __init__(self, message: str, finished: int | None = None, left: int | None = None) -> None:
        super().__init__(message, finished, left)
        self.message = message
        self.finished = finished
        self.left = left

    def __str__(self) -> str:
        return self.message


class LostTasksError(ExecutorError):
    """Tasks were neither output nor filtered nor failed: they are never lost silently."""


def short_error(error: BaseException, files: Iterable[str] = ()) -> str:
    """Class and first line of an exception; names of `files` in it do not end that line, whatever is in them."""
    text = str(error).strip()
    for file in files:
        if not file.isprintable():
            text = text.replace(file, ascii(file))
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
