"""What an agent asks of Slurm about its own job; never an error, for the job ends in any case."""

from __future__ import annotations

from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm.client import Slurm


def reason_of_end(job_id: str) -> FailureClass | None:
    """Why Slurm ends this job; None where it does not say."""
    try:
        return Slurm().end_reason(job_id)
    except SlurmError:
        return None


def cancel_job(job_id: str) -> None:
    """End the whole job."""
    _cancel(job_id)


def cancel_step(job_id: str, step: str) -> None:
    """End one step; the batch script goes on."""
    _cancel(f"{job_id}.{step}")


def _cancel(what: str) -> None:
    try:
        Slurm().cancel([what])
    except SlurmError as error:
        log.error("%s could not be ended: %s", what, error)
