"""What is known about a run before anything is concluded from it: values that `gather` makes and `decide` reads.

Shards are counted in thousands, so those that are done are a set, and only of those asked for in detail are nodes,
events and progress read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm.job_info import end_reason
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.reports import EventsReport, NodeReport, OutcomeReport, ProgressReport

FRESH_HEARTBEAT_S = 60.0
"""The head agent touches its heartbeat every few seconds; shared file systems may show it late."""
SETTLING_S = 30.0
"""How long after the end of an element that Slurm calls a success its done files may still be on their way to us."""

LOST_AFTER_S = 75.0
"""A job that is cancelled so long after the last heartbeat of its head had lost it: a head that lives beats, and writes
an outcome."""


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """Where a shard is to be processed: the newest submission that holds it, and the element of its job.

    `element_id` is `4711_3` in an array, else the id of the job; empty where the submission has no job (yet). Without
    a submission the job was submitted by hand.
    """

    submission: int | None
    element_id: str
    restarts: bool = False
    """Whether the submission was made by the run itself, after an interruption."""


@dataclass(frozen=True, slots=True)
class ElementFacts:
    """What Slurm (or this machine, of a local process) says of an element; the last ones where it was asked for all.

    `elsewhere`: it is a process of another machine; its state is RUNNING while its heartbeat is fresh, else UNKNOWN.
    """

    state: SlurmState
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    nodes: tuple[str, ...] = ()
    exit_code: int | None = None
    signal: int | None = None
    restarts: int | None = None
    elsewhere: bool = False
    ends_by: float | None = None
    """When its time limit ends it, once it has started."""

    @property
    def is_unverifiable(self) -> bool:
        """Whether nobody here can tell if it is alive."""
        return self.elsewhere and self.state is SlurmState.UNKNOWN

    @property
    def failure_class(self) -> FailureClass | None:
        """What this alone proves about a failure."""
        return end_reason(self.state, self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """The newest attempt that an element made at a shard, and what its cluster left; `restart` is the cluster's.

    `events` and `progress` are read of shards asked for in detail alone.
    """

    name: str | None = None
    count: int = 0
    restart: int = 0
    outcome: OutcomeReport | None = None
    element_outcome: OutcomeReport | None = None
    ending: OutcomeReport | None = None
    """What a head wrote that was killed while it took its job down, or still does so."""
    nodes: tuple[NodeReport, ...] = ()
    heartbeat: float | None = None
    log_tail: tuple[str, ...] = ()
    events: EventsReport | None = None
    progress: ProgressReport | None = None


NO_ATTEMPT = AttemptFacts()


@dataclass(frozen=True, slots=True)
class PublisherFacts:
    """The element that has published a run of one shard; it need not be that of the newest submission."""

    element_id: str
    heartbeat: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that decides; elements by their id, such as 4711_3."""

    run_id: str
    now: float
    total: int
    done: Mapping[int, float]
    places: Mapping[int, ShardPlace] = field(default_factory=dict)
    elements: Mapping[str, ElementFacts] = field(default_factory=dict)
    begun: Mapping[int, str] = field(default_factory=dict)
    """Shards that an active element has begun -> the name of the attempt."""
    begun_at: Mapping[int, float] = field(default_factory=dict)
    """And when, in a run of several shards: their element may have begun long before."""
    draining: frozenset[int] = frozenset()
    """Those that were told to begin nothing more."""
    ran_before: frozenset[str] = frozenset()
    """Elements that wait in the queue, and have run before: Slurm or the run itself has put them there again."""
    restart_due: frozenset[str] = frozenset()
    """Elements that have ended, and whose batch scripts are about to let them begin again."""
    restarts: int = 0
    """Starts of its jobs after an interruption."""
    attempts: Mapping[int, AttemptFacts] = field(default_factory=dict)
    detailed: frozenset[int] = frozenset()
    """Shards of which everything was read."""
    outcomes: frozenset[str] = frozenset()
    """Elements that left an outcome, the last thing they do; looked at only where every shard is done."""
    publisher: PublisherFacts | None = None
    """Known where a run has one shard, and it is done."""
    cancelled_elements: frozenset[str] = frozenset()
    cancelled: float | None = None
    query_error: str = ""
    query_doubt: str = ""
    """Why accounting does not tell how a job has ended that the controller no longer has."""
    being_submitted: bool = False
    continues: bool = False
    """Whether somebody is there who submits shards that had no room in the queue: a collect job, or `--feed`."""
    submitted: float | None = None
    created: float | None = None
    is_local: bool = False
    host: str = ""
    """Where a local run was started."""
    run_dir: str = ""

    @property
    def open_shards(self) -> list[int]:
        """Shards that are not done."""
        return [shard for shard in range(self.total) if shard not in self.done]

    def element_of(self, shard: int) -> ElementFacts | None:
        place = self.places.get(shard)
        return self.elements.get(place.element_id) if place else None

    def is_active(self, shard: int) -> bool:
        """Whether an element that has not ended holds this shard, or one whose success is not visible here yet."""
        element = self.element_of(shard)
        if element is None or element.is_unverifiable:
            return False
        return not element.state.is_final or self.is_settling(element)

    def is_restart(self, place: ShardPlace) -> bool:
        """Whether what waits or is to come for this shard is a restart, and no first start or retry of a user."""
        return place.restarts or place.element_id in self.ran_before or place.element_id in self.restart_due

    def is_settling(self, element: ElementFacts) -> bool:
        """Whether Slurm calls it a success so lately that its done files may not be visible here yet."""
        return element.state is SlurmState.COMPLETED and self.now - (element.ended or 0.0) < SETTLING_S

    def was_cancelled(self, place: ShardPlace) -> bool:
        """Whether a user has asked for its end with `curator-slurm cancel`."""
        return self.cancelled is not None or place.element_id in self.cancelled_elements

    def is_fresh(self, heartbeat: float | None) -> bool:
        return heartbeat is not None and abs(self.now - heartbeat) < FRESH_HEARTBEAT_S


def silence_at_end(element: ElementFacts | None, attempt: AttemptFacts) -> float | None:
    """How long the head had shown no life when Slurm cancelled the job; None where that was no long time.

    Workers cancel the job of a head that is lost, and cannot say so where storage takes no writes.
    """
    if element is None or element.failure_class is not FailureClass.CANCELLED:
        return None
    if element.ended is None or attempt.heartbeat is None:
        return None
    silent = element.ended - attempt.heartbeat
    return silent if silent > LOST_AFTER_S else None


def next_of_each_element(facts: RunFacts, shards: Sequence[int]) -> set[int]:
    """Of each element that runs and is not known to process a shard, the shard that it starts with."""
    busy = {facts.places[shard].element_id for shard in facts.begun if shard in facts.places}
    found = set()
    for shard in shards:
        element = facts.element_of(shard)
        if element is None or element.state.is_final or element.state.run_state is RunState.PENDING:
            continue
        element_id = facts.places[shard].element_id
        if element_id not in busy:
            busy.add(element_id)
            found.add(shard)
    return found
