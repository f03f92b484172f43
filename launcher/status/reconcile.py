"""Brings the records of a run up to date: jobs of interrupted submissions are found, or known not to exist."""

from __future__ import annotations

import time
from collections.abc import Sequence

from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.status.recover_job_ids import adopt


def settle(run: Run) -> tuple[Run, list[Submission]]:
    """The run and its submissions with the jobs that were found; those of which nothing is found are marked as lost.

    Call it with the lock of submissions: then whoever was submitting is no longer at it.

    Raises:
        SlurmError: Slurm cannot be asked, so nobody knows what runs.
    """
    assert run.record is not None
    commented = list if run.record.is_local else Slurm().commented
    if run.record.shards is None and not run.record.submissions:
        run = find_first(run)
    submissions = adopt(run.paths, read_submissions(run.paths), commented)
    submissions = [
        submission.update(lost=time.time()) if submission.record.is_interrupted else submission
        for submission in submissions
    ]
    return register(run, submissions), submissions


def find_first(run: Run) -> Run:
    """The run without shards, with the job of its first submission where only the record of it was lost.

    Raises:
        SlurmError: Slurm cannot be asked.
    """
    record = run.record
    if record is None or record.is_local or record.submissions or record.shards is not None:
        return run
    ours = registry.run_comment(run.run_id)
    for job_id, _, comment in Slurm().commented():
        if comment.endswith(ours):
            return registry.add_submission(run, registry.Submission(job_id=job_id, submitted=record.created))
    return run


def register(run: Run, submissions: Sequence[Submission]) -> Run:
    """Put the jobs of all submissions into run.json, by which a run is found by the id of its job."""
    assert run.record is not None
    known = {submission.job_id for submission in run.record.submissions}
    for submission in submissions:
        record = submission.record
        if record.job_id is not None and record.job_id not in known:
            run = registry.add_submission(
                run,
                registry.Submission(
                    job_id=record.job_id,
                    submitted=record.submitted or record.prepared,
                    host=record.host,
                    pid=record.pid,
                    pid_started=record.pid_started,
                    slurm_cluster=record.slurm_cluster,
                ),
            )
    return run
