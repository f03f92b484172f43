"""Submissions that were interrupted between sbatch and its record: their jobs are found again and recorded.

A job carries the id of its run and the number of its submission as its comment. What Slurm has forgotten left
folders in `elements/`. What is found in neither place does not exist (any more).
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.submissions import Submission

_ELEMENT = re.compile(r"([0-9]+)(?:_[0-9]+)?\.[0-9]+")
Commented = Callable[[], Iterable[tuple[str, str, str]]]
"""Asks Slurm for id, work dir and comment of all jobs of this user."""


def recover_job_ids(run: RunPaths, submissions: Sequence[Submission], commented: Commented) -> list[Submission]:
    """The submissions, with the job ids of those that had none; Slurm is asked only if there are such.

    What is found is written down, as far as we may write. Errors of `commented` are passed on.
    """
    if not any(submission.record.is_interrupted for submission in submissions):
        return list(submissions)
    jobs = {comment: job_id for job_id, folder, comment in commented() if _same(folder, run.root)}
    known = {submission.record.job_id for submission in submissions} | set(jobs.values())
    unknown = [job_id for job_id in _jobs_with_elements(run) if job_id not in known]
    lost = [submission for submission in submissions if submission.record.is_interrupted]
    result = []
    for submission in submissions:
        if submission.record.is_interrupted:
            found = jobs.get(submission.record.comment) or _by_elements(run, submission, unknown, alone=len(lost) == 1)
            if found is not None:
                submission = _record(submission, found, write=is_own(run.root))
                unknown = [job_id for job_id in unknown if job_id != found]
        result.append(submission)
    return result


def _record(submission: Submission, job_id: str, *, write: bool) -> Submission:
    record = replace(submission.record, job_id=job_id, recovered=True, submitted=submission.record.prepared)
    if not write:
        return replace(submission, record=record)
    with contextlib.suppress(StorageError):  # not ours to write: known for this command only
        return submission.write(record)
    return replace(submission, record=record)


def _same(folder: str, root: Path) -> bool:
    return folder == str(root) or os.path.realpath(folder) == os.path.realpath(root)


def _jobs_with_elements(run: RunPaths) -> list[str]:
    """Ids of the jobs whose elements left a folder, oldest first."""
    names: set[str] = set()
    with contextlib.suppress(OSError), os.scandir(run.elements) as entries:
        names = {match[1] for entry in entries if (match := _ELEMENT.fullmatch(entry.name))}
    return sorted(names, key=int)


def _by_elements(run: RunPaths, submission: Submission, jobs: Sequence[str], *, alone: bool) -> str | None:
    """The job that worked on this submission's shards, by the attempts it left."""
    shards = {element.element: element.shards for element in submission.elements}
    for job_id in jobs:
        worked = [
            (element, shard)
            for element, members in shards.items()
            for shard in members
            if any(run.attempts_of(shard).glob(f"{submission.record.element_id(element, job_id)}.*"))
        ]
        if worked:
            return job_id
    return jobs[0] if alone and len(jobs) == 1 else None
