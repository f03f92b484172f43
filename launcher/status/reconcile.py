"""Brings the records of a run up to date: jobs of interrupted submissions are found, or known not to exist."""

from __future__ import annotations

import time

from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.status.recover_job_ids import recover_job_ids


def reconcile(run: Run) -> tuple[Run, list[Submission]]:
    """The run and its submissions with the jobs that were found; those without any are marked as lost.

    Call it with the lock of submissions: then nobody else is submitting.

    Raises:
        SlurmError: Slurm cannot be asked, so it cannot tell what is running.
    """
    assert run.record is not None
    commented = list if run.record.is_local else Slurm().commented
    submissions = [
        submission.update(lost=time.time()) if submission.record.is_interrupted else submission
        for submission in recover_job_ids(run.paths, read_submissions(run.paths), commented)
    ]
    job_ids = [each.record.job_id for each in submissions if each.record.job_id is not None]
    if set(job_ids) - set(run.record.job_ids):
        run = registry.add_job_ids(run, job_ids)
    return run, submissions
