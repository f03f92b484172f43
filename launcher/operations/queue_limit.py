"""The site's limit of jobs of one user in the queue (`limits.submitted_jobs`), asked for before a submission."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.launcher.errors import SitePolicyError, SlurmError, SpecProblem
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.sharding.arrays import JobArray
from curator_slurm.launcher.slurm import parse
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.data_sections import CollectMode

KEY = "limits.submitted_jobs"


def check_queue(plan: Plan, arrays: Sequence[JobArray], slurm: Slurm) -> None:
    """Refuse arrays that would put more jobs of this user into the queue than the site allows.

    Raises:
        SitePolicyError: there would be too many; every element of an array is a job.
    """
    if plan.site is None or plan.cluster is Cluster.LOCAL or not arrays:
        return
    site = plan.at_site()
    most = site.limits.submitted_jobs
    new = sum(len(array.elements) for array in arrays) + (plan.spec.output.collect is CollectMode.AUTO)
    if most is None:
        return
    queued = _queued(slurm) if new <= most else 0
    if queued + new <= most:
        return
    there = f" and {queued:,} of yours are in the queue" if queued else ""
    contact = f"; questions: {site.site.contact}" if site.site.contact else ""
    words = (
        f"this would submit {new:,} job{'s' * (new != 1)}{there}, and the site allows a user {most:,} "
        f"({KEY} in {plan.origins.get(KEY, 'a site file')}). "
        + ("Submit again once some have ended" if queued else "A larger `shards.per_element` makes fewer elements")
        + contact
    )
    raise SitePolicyError.of([SpecProblem("shards", words, plan.origins.get("shards.per_element", ""))])


def _queued(slurm: Slurm) -> int:
    """Jobs of this user that have not ended, every element of an array one; 0 where Slurm does not say."""
    try:
        rows = parse.parse_arrays(slurm.run(["squeue", "--states=all", "--me", f"--format={parse.ARRAY_FORMAT}"]))
    except (SlurmError, UnreadableOutputError):
        return 0
    return sum(len(row.tasks or (0,)) for row in rows if not row.state.is_final)
