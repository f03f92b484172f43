"""How long before its time limit Slurm tells a job that it will end. Pure."""

from __future__ import annotations

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.site.habits import OptionUse
from curator_slurm.launcher.spec.slurm_time import seconds as seconds_of

DRAIN_SIGNAL = "B:USR2"
"""To the batch shell alone: else it reaches every process of the step, on some sites those of Ray too, which end."""
_MOST_OF_LIMIT = 4
"""A job that may run for minutes only does not drain for most of them: this part of its time at most."""


def drain_notice_s(plan: Plan) -> int | None:
    """Seconds, at most a quarter of the time limit; None where the job is not told."""
    seconds = plan.spec.restart.drain_before_limit_s
    if plan.cluster is not Cluster.SLURM or not seconds or plan.habits.signal is not OptionUse.USE:
        return None
    limit = plan.spec.resources.time
    limit_s = None if limit is None else seconds_of(str(limit))
    return seconds if limit_s is None else max(1, min(seconds, limit_s // _MOST_OF_LIMIT))
