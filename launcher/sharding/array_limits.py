"""How large an array may be, and how many elements of a run may run at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.runs.submissions import Submission
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.parse import ArrayTasks

DEFAULT_MAX_ARRAY_SIZE = 1001
"""Slurm's own default, for clusters that do not tell theirs."""


def largest_array(slurm: Slurm) -> int:
    """How many elements an array of this cluster may have; asks it once.

    Raises:
        SlurmError: it cannot be asked, or has no arrays.
    """
    size = slurm.max_array_size()
    if size is None:
        return DEFAULT_MAX_ARRAY_SIZE
    if size < 1:
        raise SlurmError(
            f"this cluster has no job arrays (MaxArraySize is {size}): remove `shards` from the spec, "
            "or ask the administrators of the cluster"
        )
    return size


def taken(submissions: Iterable[Submission], tasks: Iterable[ArrayTasks]) -> Mapping[str, int]:
    """Array -> how many of its elements run or may start at any moment, of those that have not ended."""
    active: dict[str, int] = {}
    for entry in tasks:
        if not entry.state.is_final:
            active[entry.job_id] = active.get(entry.job_id, 0) + len(entry.tasks or (0,))
    limits = {submission.record.job_id: submission.record.max_running for submission in submissions}
    return {job: min(count, limits.get(job) or count) for job, count in active.items()}
