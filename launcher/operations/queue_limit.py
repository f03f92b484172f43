"""The site's limits of jobs of one user in the queue (`limits.submitted_jobs`), asked for before a submission."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from curator_slurm.common.in_words import are, several
from curator_slurm.launcher.errors import SitePolicyError, SlurmError, SpecProblem
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.restart_choice import restart_choice
from curator_slurm.launcher.sharding.arrays import JobArray, first_elements
from curator_slurm.launcher.slurm import parse
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.tables import UnreadableOutputError
from curator_slurm.launcher.spec.restart_section import Mechanism

if TYPE_CHECKING:
    from curator_slurm.launcher.site.cluster_facts import PartitionSpec

KEY = "limits.submitted_jobs"


@dataclass(frozen=True)
class Fitting:
    """The arrays for which there is room in the queue, and what is to be said of the others."""

    arrays: Sequence[JobArray]
    collects: bool
    """Whether there is room for a collect job beside them, too; it submits what is left when they have ended."""
    words: str = ""
    refusal: SitePolicyError | None = None
    """Where there is no room for any."""

    def note(self, run: str) -> list[str]:
        """A sentence about what waits; none where nothing does."""
        return [self.words.format(run=run)] if self.words else []

    def or_refuse(self) -> Fitting:
        """The same, unless there is no room at all."""
        if self.refusal is not None:
            raise self.refusal
        return self


@dataclass(frozen=True)
class _Limit:
    """So many jobs of a user: in one partition, or in all."""

    most: int
    which: Sequence[str]
    """Options of squeue for the jobs that it counts."""
    key: str
    components: int = 1
    """Jobs of a run that it counts: of one with groups, each of them."""

    def room(self, slurm: Slurm) -> int:
        return max(self.most - (queued_jobs(slurm, self.which) or 0), 0)


def fitting(plan: Plan, arrays: Sequence[JobArray], slurm: Slurm, *, collects: bool) -> Fitting:
    """As many elements as the site lets a user have in the queue; every element of an array is a job.

    `collects`: a collect job is to be submitted with them. Where not all elements have room, it takes the place of one.
    """
    if plan.site is None or plan.cluster is Cluster.LOCAL or not arrays:
        return Fitting(arrays, collects)
    rooms = [(limit.room(slurm), limit) for limit in _limits(plan)]
    if not rooms:
        return Fitting(arrays, collects)
    room, limit = min(rooms, key=lambda each: each[0] - each[1].components)
    new = sum(len(array.elements) for array in arrays) * limit.components
    links = 1 + plan.spec.restart.limit if restart_choice(plan).mechanism is Mechanism.CHAIN else 1
    if new * links + collects <= room:
        return Fitting(arrays, collects)
    where = plan.origins.get(limit.key, "a site file")
    allowed = f"the site allows a user {several(limit.most, 'job')} in the queue ({limit.key} in {where})"
    if links > 1 and room < limit.components * links:
        full = f"{allowed}, and a chain of restarts has {links:,} for each element (restart.max_restarts)"
        return Fitting([], False, full, _refusal(plan, full))
    if room < limit.components:
        left = f"{room:,} are left, and this run has {limit.components}, one for each group"
        full = f"{allowed}, and {left if room else 'there are as many'}"
        return Fitting([], False, full, _refusal(plan, full))
    collects = collects and room > 1
    count = (room - collects) // links
    if count >= new:  # and no room for a collect job
        return Fitting(arrays, False, f"{allowed}: `curator-slurm collect {{run}} --wait` publishes the outputs")
    ways = "the job that collects submits more when these have ended, or " if collects else ""
    words = (
        f"{allowed}: {count:,} of {several(new, 'element')} {are(count)} submitted; {ways}`curator-slurm "
        f"retry {{run}}` when some have "
        "ended, and `retry --feed` stays to do it"
    )
    return Fitting(first_elements(arrays, count), collects, words)


def queued_jobs(slurm: Slurm, which: Sequence[str] = ()) -> int | None:
    """Jobs of this user that have not ended, every element of an array one; None where Slurm does not say."""
    try:
        rows = parse.parse_arrays(
            slurm.run(["squeue", "--states=all", "--me", *which, f"--format={parse.ARRAY_FORMAT}"])
        )
    except (SlurmError, UnreadableOutputError):
        return None
    return sum(len(row.tasks or (0,)) for row in rows if not row.state.is_final)


def _limits(plan: Plan) -> Iterator[_Limit]:
    """The limit of the site, over all partitions, and that of the partition."""
    from curator_slurm.launcher.site.model import Site

    site, places = Site.model_validate(plan.site or {}), Counter(part.place for part in plan.parts())
    if site.limits.submitted_jobs is not None:
        yield _Limit(site.limits.submitted_jobs, (), KEY, places.total())
    for name, components in places.items():
        part = site.partition(name) if name is not None else None
        if name is not None and part is not None and part.limits.submitted_jobs is not None:
            own = f"partitions.{name}.{KEY}"
            key = own if own in plan.origins else f"partition_defaults.{KEY}"
            yield _Limit(part.limits.submitted_jobs, _jobs_in(name, part), key, components)


def _jobs_in(name: str, part: PartitionSpec) -> Sequence[str]:
    """Options of squeue for a partition as Slurm calls it, where that is known, and its QOS; none are all jobs."""
    found = [f"--partition={part.slurm_name or name}"] if part.option_partition else []
    return [*found, f"--qos={part.qos}"] if part.qos else found


def _refusal(plan: Plan, full: str) -> SitePolicyError:
    contact = plan.at_site().site.contact
    questions = f"; questions: {contact}" if contact else ""
    if plan.spec.resources.groups:
        words = f"{full}. Submit again once some have ended{questions}"
        return SitePolicyError.of([SpecProblem("resources.groups", words, plan.origins.get("resources.groups", ""))])
    words = f"{full}. Submit again once some have ended, or with --feed, which waits for that{questions}"
    return SitePolicyError.of([SpecProblem("shards", words, plan.origins.get("shards.per_element", ""))])
