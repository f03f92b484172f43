"""Which task is to blame when a worker dies: one count of deaths and one limit for all back ends.

A worker may die of what it was working on, or of something else: memory that others have taken, its node. So a batch
that was being processed runs once more as a whole, because its outputs may depend on what is in it. Only if that kills
another worker is it divided into single tasks, whose deaths are counted from then on. A task that ignores
`task_timeout_s` ends its worker, which is a death like any other. A death that came with the node counts for nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.resume.tracker import items_of
from curator_slurm.executors.task_failures import FailedTaskRecord, FailurePolicy, StageError, WorkerLostError
from curator_slurm.executors.tasks import only_file, source_of

START_UP_DEATHS = 3
"""The run fails when so many workers of a stage have died in a row before one was ready."""
NO_TRACEBACK = "The process ended without a traceback; Ray's logs of its node may say more."


class RerunDecision(Enum):
    """What becomes of tasks whose worker has died."""

    RERUN = "run again, in a call of their own"
    DIVIDE = "run again one by one"
    GIVE_UP = "the task has failed"


class Identity(NamedTuple):
    """What the record of a failed task says of it."""

    task_id: str
    source: str
    items: int
    file: str | None = None


def identity_of(task: Any) -> Identity:
    """A task as the record of its failure names it."""
    return Identity(str(getattr(task, "task_id", "")), source_of(task), items_of(task), only_file(task))


def deaths_after(tasks: int, deaths: int, *, alone: bool) -> int:
    """The deaths held against one batch after its worker died.

    `alone`: the worker had been given nothing else. Where it had, a single task is not charged: it runs alone next.
    """
    return deaths + (alone or tasks > 1)


def decide_rerun(tasks: int, deaths: int, policy: FailurePolicy) -> RerunDecision:
    """What becomes of a batch of so many tasks with so many deaths held against it."""
    if tasks > 1:
        return RerunDecision.DIVIDE if deaths > 1 else RerunDecision.RERUN
    return RerunDecision.GIVE_UP if deaths > policy.deaths_allowed else RerunDecision.RERUN


def give_up(stage: str, policy: FailurePolicy, task: Identity, deaths: int, details: str = NO_TRACEBACK) -> BatchReport:
    """The report of a task that has failed because too many workers died at it.

    Raises:
        StageError: the policy is `fail`.
    """
    reason = f"WorkerDied: the worker process died {deaths} times at this task"
    if not policy.skips:
        raise StageError(stage, f"process_batch of task {task.task_id}", reason, details)
    record = FailedTaskRecord(stage, task.task_id, task.source, deaths, reason, details, task.file)
    return BatchReport.of_lost((record,), task.items)


def check_start_up(stage: str, deaths: int, details: str = NO_TRACEBACK) -> None:
    """Give up on a stage of which so many workers in a row have died before one was ready.

    Raises:
        WorkerLostError: these are too many.
    """
    if deaths >= START_UP_DEATHS:
        raise WorkerLostError(f"workers of stage {stage!r} died {deaths} times in a row while starting: {details}")
