"""What an agent asks of Slurm about its own job; never an error, for the job ends in any case."""

from __future__ import annotations

from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.cluster_config import parse_slurm_configuration
from curator_slurm.launcher.slurm.job_info import Ending

REASON_S = 4.0
"""How long Slurm may take to say why it ends a job: KillWait, 30 seconds by default, is all that is left then."""
CANCEL_S = 20.0
"""How long an order to end a job or step may take; controllers of large clusters are slow."""


def reason_of_end(job_id: str) -> FailureClass | None:
    """Why Slurm ends this job; None where it does not say in time."""
    ending = ending_of(job_id)
    return ending.reason if ending is not None else None


def ending_of(job_id: str) -> Ending | None:
    """Why and when Slurm ends this job; None where it does not answer in time."""
    try:
        return Slurm().within(REASON_S).ending(job_id)
    except SlurmError:
        return None


def kill_wait_s() -> float | None:
    """Seconds between SIGTERM and SIGKILL on this cluster; None where Slurm does not say it in time."""
    try:
        text = Slurm().within(REASON_S).run(["scontrol", "show", "config"])
    except SlurmError:
        return None
    return parse_slurm_configuration(text).kill_wait_s


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
