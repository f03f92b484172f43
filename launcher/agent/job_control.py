"""What an agent asks of Slurm about its own job; never an error, for the job ends in any case."""

from __future__ import annotations

from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm.client import Slurm

REASON_S = 4.0
"""How long Slurm may take to say why it ends a job: KillWait, 30 seconds by default, is all that is left then."""
CANCEL_S = 20.0
"""How long an order to end a job or step may take; controllers of large clusters are slow."""


def reason_of_end(job_id: str) -> FailureClass | None:
    """Why Slurm ends this job; None where it does not say in time."""
    try:
        return Slurm().within(REASON_S).end_reason(job_id)
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
        Slurm().within(CANCEL_S).cancel([what])
    except SlurmError as error:
        log.error("%s could not be ended: %s", what, error)
