"""Why Slurm sent a signal: asked once, from inside the job, when it ends before its time."""

from __future__ import annotations

from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.failure import FailureClass


def reason_of_end(job_id: str) -> FailureClass | None:
    """What Slurm says about the end of this job; None where it does not answer."""
    from curator_slurm.launcher.slurm import Slurm

    try:
        return Slurm().end_reason(job_id)
    except CuratorSlurmError:
        return None
