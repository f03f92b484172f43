"""From the shards of a plan to the jobs that process them: arrays as large as Slurm accepts, or one job."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.sharding.array_limits import largest_array
from curator_slurm.launcher.sharding.arrays import JobArray, cut
from curator_slurm.launcher.slurm.client import Slurm


def arrays_for(plan: Plan, shards: Sequence[int], slurm: Slurm, max_running: int | None = None) -> list[JobArray]:
    """The arrays for these shards; Slurm is asked once for the size that they may have.

    Without `shards` in the spec, and on this machine, one job processes them all. `max_running` takes the place of
    the plan's own.
    """
    settings = plan.spec.shards
    if settings is None or plan.cluster is Cluster.LOCAL:
        return cut(shards, max(len(shards), 1), 1)
    limit = settings.max_running if max_running is None else max_running
    return cut(shards, settings.per_element, largest_array(slurm), limit)
