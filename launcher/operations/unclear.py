"""Submissions of which nobody knows whether Slurm has accepted them: said so, and never submitted twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from curator_slurm.launcher.errors import SlurmError, StorageError, UnclearSubmissionError
from curator_slurm.launcher.runs.known_folders import reference
from curator_slurm.launcher.runs.lock import SUBMISSIONS_LOCK, is_locked
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.runs.run_folders import run_directories
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.slurm.client import LOOK_UP_S, Slurm
from curator_slurm.launcher.status.recover_job_ids import recover_job_ids

_LOOKED_AT = 20
"""The newest runs of a name that are looked at."""


def unclear(run: Run) -> str:
    """What to say of a run whose submission may have reached Slurm."""
    name = reference(run, os.environ)
    return (
        "Whether Slurm has accepted the job is not known, so do not submit the spec again.\n"
        f"The run is {run.run_id}, in {run.paths.root}\n"
        f"`curator-slurm status {name}` finds its job as soon as Slurm answers; if there is none, "
        f"`curator-slurm retry {name}` submits it."
    )


def refuse_to_submit_twice(folder: Path, name: str, plan_sha256: str) -> None:
    """Look for a run of the same plan whose submission was interrupted.

    Raises:
        UnclearSubmissionError: Slurm has its job, which is recorded now; or cannot be asked for it.
    """
    for run, submissions in _interrupted(folder, name, plan_sha256):
        try:
            found = recover_job_ids(run.paths, submissions, Slurm().within(LOOK_UP_S).commented)
        except SlurmError as error:
            raise UnclearSubmissionError(
                f"Nothing was submitted: an earlier submission of this spec was interrupted. {unclear(run)}\n{error}",
                error.command,
                error.returncode,
                error.stdout,
                error.stderr,
            ) from error
        recovered = [
            str(after.record.job_id)
            for before, after in zip(submissions, found, strict=True)
            if before.record.is_interrupted and after.record.job_id is not None
        ]
        if recovered:
            raise UnclearSubmissionError(
                "Nothing was submitted: an earlier submission of this spec was interrupted, and Slurm has it as job "
                f"{', '.join(recovered)}. It is run {run.run_id}; `curator-slurm watch {run.run_id}` follows it.\n"
                "To run the spec once more all the same, submit it again."
            )


def _interrupted(folder: Path, name: str, plan_sha256: str) -> Iterator[tuple[Run, list[Submission]]]:
    for root in run_directories([folder], name)[:_LOOKED_AT]:
        run = load_run(root)
        record = run.record
        if record is None or record.is_local or record.cancelled is not None or record.plan_sha256 != plan_sha256:
            continue
        try:
            submissions = read_submissions(run.paths)
        except StorageError:
            continue
        if any(each.record.is_interrupted for each in submissions) and not is_locked(run.paths.lock(SUBMISSIONS_LOCK)):
            yield run, submissions
