"""The site's limit of jobs of one user in the queue (`limits.submitted_jobs`), asked for before a submission."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curator_slurm.launcher.errors import SitePolicyError, SlurmError, SpecProblem
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.sharding.arrays import JobArray, first_elements
from curator_slurm.launcher.slurm import parse
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.data_sections import CollectMode

KEY = "limits.submitted_jobs"


@dataclass(frozen=True)
class Fitting:
    """The arrays for which there is room in the queue, and what is to be said of the others."""

    arrays: Sequence[JobArray]
    collects: bool = True
    """Whether the collect job is to be submitted with them: not before all of the run is."""
    words: str = ""

    def note(self, run: str) -> list[str]:
        """A sentence about what waits; none where nothing does."""
        return [self.words.format(run=run)] if self.words else []


def fitting(plan: Plan, arrays: Sequence[JobArray], slurm: Slurm) -> Fitting:
    """As many elements as the site lets a user have in the queue; every element of an array is a job.

    Raises:
        SitePolicyError: there is no room for any.
    """
    if plan.site is None or plan.cluster is Cluster.LOCAL or not arrays:
        return Fitting(arrays)
    site = plan.at_site()
    most = site.limits.submitted_jobs
    if most is None:
        return Fitting(arrays)
    new = sum(len(array.elements) for array in arrays)
    collects = plan.spec.output.collect is CollectMode.AUTO
    room = max(most - _queued(slurm), 0)
    if new + collects <= room:
        return Fitting(arrays)
    allowed = f"the site allows a user {most:,} jobs in the queue ({KEY} in {plan.origins.get(KEY, 'a site file')})"
    if new <= room:
        return Fitting(arrays, False, f"{allowed}: `curator-slurm collect {{run}} --wait` publishes the outputs")
    if room:
        words = (
            f"{allowed}: {room:,} of {new:,} elements are submitted, `curator-slurm retry {{run}}` submits more when"
        )
        return Fitting(first_elements(arrays, room), False, f"{words} some have ended")
    contact = f"; questions: {site.site.contact}" if site.site.contact else ""
    words = f"{allowed}, and there are as many. Submit again once some have ended{contact}"
    raise SitePolicyError.of([SpecProblem("shards", words, plan.origins.get("shards.per_element", ""))])


def _queued(slurm: Slurm) -> int:
    """Jobs of this user that have not ended, every element of an array one; 0 where Slurm does not say."""
    try:
        rows = parse.parse_arrays(slurm.run(["squeue", "--states=all", "--me", f"--format={parse.ARRAY_FORMAT}"]))
    except (SlurmError, UnreadableOutputError):
        return 0
    return sum(len(row.tasks or (0,)) for row in rows if not row.state.is_final)
