"""Which shards a job processes: those of its line in elements.jsonl or, started by hand, what is not done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from curator_slurm.launcher.errors import BootstrapError, StorageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.done_records import done_shards, missing
from curator_slurm.launcher.runs.manifest import count_shards, revised_file
from curator_slurm.launcher.runs.paths import RunPaths, SubmissionPaths
from curator_slurm.launcher.runs.submissions import read_elements, read_submissions

PATIENCE_S = 90.0
"""A network file system may hide a new file for half a minute and more."""


def plan_file(run: RunPaths, submission: SubmissionPaths | None, wait: Callable[[float], object] = time.sleep) -> Path:
    """The plan of this job: its submission's own where there is one, else the run's.

    Raises:
        BootstrapError: this node does not see the folder of the submission.
    """
    if submission is None:
        return run.plan
    _await(submission.record, wait)
    return submission.plan if submission.plan.exists() else run.plan


def shards_of_job(
    run: RunPaths,
    submission: SubmissionPaths | None,
    environ: Mapping[str, str],
    wait: Callable[[float], object] = time.sleep,
) -> list[int]:
    """The shards of this job, in their order.

    Without a submission, a job array of any size shares out all shards that are not done. A job that Slurm has started
    again leaves those that a retry has taken over meanwhile: two attempts at a shard would do its work twice.

    Raises:
        BootstrapError: elements.jsonl cannot be read, or has no line for this array task.
    """
    task = environ.get("SLURM_ARRAY_TASK_ID")
    if submission is None:
        _await(run.manifest, wait)
        total = count_shards(run.manifest)
        if task is None:
            return missing(total, done_shards(run))
        place, count = _place(int(task), environ)
        return list(range(total))[place::count]
    _await(submission.elements, wait)
    try:
        elements = read_elements(submission.elements)
    except (OSError, ValueError) as error:
        raise _damaged(submission.elements, str(error)) from error
    mine = [element for element in elements if task is None or element.element == int(task)]
    if task is not None and not mine:
        raise _damaged(submission.elements, f"there is no line for array task {task}")
    for shard in (shard for element in mine for shard in element.revised):
        _await(revised_file(run.manifest, shard), wait)
    shards = [shard for element in mine for shard in element.shards]
    if int(environ.get("SLURM_RESTART_COUNT") or 0) == 0:
        return shards
    others = _taken_over(run, submission)
    return [shard for shard in shards if shard not in others]


def _taken_over(run: RunPaths, submission: SubmissionPaths) -> set[int]:
    """The shards of later submissions that Slurm has accepted, but for their elements that were cancelled."""
    try:
        later = [each for each in read_submissions(run) if each.record.number > submission.number]
    except StorageError:  # then both may work at one, and one of them publishes
        return set()
    known = [each for each in later if each.record.job_id is not None and each.record.link_of is None]
    accepted = ((each, each.record.cancelled_elements()) for each in known)
    return {
        shard
        for each, cancelled in accepted
        for element in each.elements
        if element.element not in cancelled
        for shard in element.shards
    }


def _place(task: int, environ: Mapping[str, str]) -> tuple[int, int]:
    """(position of this array task, number of them)."""
    first, step = int(environ.get("SLURM_ARRAY_TASK_MIN") or 0), int(environ.get("SLURM_ARRAY_TASK_STEP") or 1)
    return (task - first) // max(step, 1), int(environ.get("SLURM_ARRAY_TASK_COUNT") or 1)


def _await(path: Path, wait: Callable[[float], object]) -> None:
    waited, pause = 0.0, 0.1
    while not path.exists():
        if waited >= PATIENCE_S:
            raise BootstrapError(
                FailureClass.STORAGE,
                f"this node does not see {path}",
                "check that every node mounts the storage of the run, and that the file was not removed",
            )
        wait(pause)
        waited += pause
        pause = min(pause * 2, 5.0)


def _damaged(path: Path, why: str) -> BootstrapError:
    return BootstrapError(
        FailureClass.STORAGE, f"{path} cannot be used: {why}", "submit the spec again: this run directory is damaged"
    )
