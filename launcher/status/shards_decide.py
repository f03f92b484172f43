"""What state each shard of a run is in, and the run with them: a pure decision over what files and Slurm say.

`facts` gathers; nothing here does any I/O. Shards are counted in thousands, so what is done is a set, and only the
others have a status each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.states import RunState, SlurmState

SETTLING_S = 30.0
"""How long after the end of an element that Slurm calls a success its done files may still be on their way to us."""


class ShardState(StrEnum):
    """State of one shard."""

    DONE = "done"
    RUNNING = "running"
    PENDING = "pending"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_SUBMITTED = "not_submitted"
    UNKNOWN = "unknown"

    @property
    def is_active(self) -> bool:
        """Whether somebody is at it, or will be, or may be."""
        return self in (ShardState.RUNNING, ShardState.PENDING, ShardState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard is to be processed: the newest submission that holds it."""

    submission: int
    job_id: str | None
    element: int

    @property
    def element_id(self) -> str | None:
        """The element's job id: `4711_3`; a local job has no elements."""
        if self.job_id is None or self.job_id.startswith("local-"):
            return self.job_id
        return f"{self.job_id}_{self.element}"


@dataclass(frozen=True, slots=True)
class ElementFacts:
    """What Slurm (or this machine) says of an array element."""

    state: SlurmState
    started: float | None = None
    ended: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What is left of the newest attempt at a shard that is neither done nor active.

    `own` is the outcome of the attempt, `element` that of its element, `node` the status of a node that failed,
    `log` the failure class that the element's log proves.
    """

    name: str | None = None
    count: int = 0
    own: Mapping[str, Any] | None = None
    element: Mapping[str, Any] | None = None
    node: Mapping[str, Any] | None = None
    log: FailureClass | None = None


@dataclass(frozen=True, kw_only=True)
class ShardsFacts:
    """Everything that decides; elements by their id such as 4711_3."""

    run_id: str
    now: float
    total: int
    done: Mapping[int, float]
    places: Mapping[int, Place] = field(default_factory=dict)
    elements: Mapping[str, ElementFacts] = field(default_factory=dict)
    begun: Mapping[int, str] = field(default_factory=dict)
    """Shards that an active element has begun -> the name of the attempt."""
    attempts: Mapping[int, AttemptFacts] = field(default_factory=dict)
    cancelled_elements: frozenset[str] = frozenset()
    cancelled: float | None = None
    interrupted: int = 0
    query_error: str = ""
    being_submitted: bool = False
    submitted: float | None = None
    created: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """A shard that is not done."""

    shard: int
    state: ShardState
    failure_class: FailureClass | None = None
    message: str = ""
    next_step: str = ""
    submission: int | None = None
    job_id: str | None = None
    attempt: str | None = None
    attempts: int = 0
    started: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ShardsDecision:
    """The state of a sharded run."""

    state: RunState
    total: int
    done: int
    open: Sequence[ShardStatus]
    message: str = ""
    next_step: str = ""
    rate: float | None = None
    """Shards per second, lately."""
    eta_s: float | None = None
    started: float | None = None
    ended: float | None = None
    never_starts: bool = False
    warnings: Sequence[str] = ()

    def of(self, state: ShardState) -> list[ShardStatus]:
        return [status for status in self.open if status.state is state]

    @property
    def counts(self) -> dict[ShardState, int]:
        """How many shards are in each state; states that no shard is in are left out."""
        counts = Counter(status.state for status in self.open)
        counts[ShardState.DONE] = self.done
        return {state: counts[state] for state in ShardState if counts[state]}

    @property
    def classes(self) -> dict[FailureClass, list[int]]:
        """Failed shards by class, the most frequent first."""
        found: dict[FailureClass, list[int]] = {}
        for status in self.of(ShardState.FAILED):
            found.setdefault(status.failure_class or FailureClass.UNKNOWN, []).append(status.shard)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def open_shards(facts: ShardsFacts) -> list[int]:
    """Shards that are not done."""
    return [shard for shard in range(facts.total) if shard not in facts.done]


def is_active(facts: ShardsFacts, shard: int) -> bool:
    """Whether an element that has not ended holds this shard."""
    place = facts.places.get(shard)
    element = facts.elements.get(place.element_id or "") if place else None
    return element is not None and (not element.state.is_final or _is_settling(facts, element))


def _is_settling(facts: ShardsFacts, element: ElementFacts) -> bool:
    """Slurm calls it a success, so its shards are done: we just do not see it yet."""
    return element.state is SlurmState.COMPLETED and facts.now - (element.ended or 0.0) < SETTLING_S


def decide(facts: ShardsFacts) -> ShardsDecision:
    """The state of the run and of its shards that these facts prove."""
    statuses = [_shard(facts, shard) for shard in open_shards(facts)]
    state = _run_state(facts, statuses)
    rate = _rate(facts)
    left = len(statuses)
    eta = left / rate if rate and state is RunState.RUNNING else None
    message, next_step, never = _words(facts, state, statuses)
    starts = [time for time in (facts.submitted, facts.created) if time is not None]
    return ShardsDecision(
        state=state,
        total=facts.total,
        done=len(facts.done),
        open=statuses,
        message=message,
        next_step=next_step,
        rate=rate,
        eta_s=eta,
        started=min(starts, default=None) if state is not RunState.PENDING else None,
        ended=max(facts.done.values(), default=None) if state is RunState.COMPLETED else None,
        never_starts=never,
        warnings=[f"{facts.query_error.splitlines()[0]} Shown is what the files of the run say."]
        if facts.query_error
        else (),
    )


def _shard(facts: ShardsFacts, shard: int) -> ShardStatus:
    place = facts.places.get(shard)
    if place is None or place.job_id is None:
        unsure = place is not None and facts.query_error
        return ShardStatus(shard=shard, state=ShardState.UNKNOWN if unsure else ShardState.NOT_SUBMITTED)
    element_id = place.element_id or ""
    element = facts.elements.get(element_id)
    if is_active(facts, shard):
        assert element is not None
        return _active(facts, shard, place, element)
    attempt = facts.attempts.get(shard, AttemptFacts())
    if facts.query_error and element is None and attempt.own is None and attempt.element is None:
        return ShardStatus(
            shard=shard, state=ShardState.UNKNOWN, submission=place.submission, job_id=element_id, attempt=attempt.name
        )
    return _ended(facts, shard, place, element, attempt)


def _active(facts: ShardsFacts, shard: int, place: Place, element: ElementFacts) -> ShardStatus:
    begun = facts.begun.get(shard)
    running = begun is not None or _is_settling(facts, element)
    return ShardStatus(
        shard=shard,
        state=ShardState.RUNNING if running else ShardState.PENDING,
        submission=place.submission,
        job_id=place.element_id,
        attempt=begun,
        started=element.started if running else None,
        reason="" if running else element.reason,
    )


def _ended(
    facts: ShardsFacts, shard: int, place: Place, element: ElementFacts | None, attempt: AttemptFacts
) -> ShardStatus:
    failure, message, next_step = _why(place, element, attempt)
    asked = facts.cancelled is not None or place.element_id in facts.cancelled_elements
    unproved = failure in (None, FailureClass.UNKNOWN, FailureClass.CANCELLED)
    cancelled = failure is FailureClass.CANCELLED or (asked and unproved)
    return ShardStatus(
        shard=shard,
        state=ShardState.CANCELLED if cancelled else ShardState.FAILED,
        failure_class=FailureClass.CANCELLED if cancelled else failure or FailureClass.UNKNOWN,
        message="cancelled" if cancelled else message,
        next_step="" if cancelled else next_step,
        submission=place.submission,
        job_id=place.element_id,
        attempt=attempt.name,
        attempts=attempt.count,
    )


def _why(place: Place, element: ElementFacts | None, attempt: AttemptFacts) -> tuple[FailureClass | None, str, str]:
    """Failure class, message and next step: the attempt's own word, its element's, Slurm's, the nodes', the log's."""
    for outcome in (attempt.own, attempt.element):
        failure = _failure_class(outcome.get("failure_class")) if outcome else None
        if outcome and (failure is not None or outcome.get("state") == RunState.CANCELLED):
            return (
                failure or FailureClass.CANCELLED,
                str(outcome.get("message") or ""),
                str(outcome.get("next_step") or ""),
            )
    if element is not None and element.state.failure_class is not None:
        return element.state.failure_class, *messages.ending(element.state)
    if attempt.node is not None:
        failure = _failure_class(attempt.node.get("failure_class"))
        message = f"Node {attempt.node.get('node')}: {attempt.node.get('message')}"
        return failure, message, str(attempt.node.get("next_step") or "")
    if attempt.log is not None:
        return attempt.log, f"The log of job {place.element_id} says so.", ""
    if attempt.own is not None and attempt.own.get("state") == RunState.COMPLETED:
        return FailureClass.UNKNOWN, "The attempt completed, but its outputs were not published.", ""
    return None, f"Job {place.element_id} is over and left no word.", ""


def _failure_class(value: object) -> FailureClass | None:
    try:
        return FailureClass(str(value)) if value else None
    except ValueError:
        return FailureClass.UNKNOWN


def _run_state(facts: ShardsFacts, statuses: Sequence[ShardStatus]) -> RunState:
    if not statuses:
        return RunState.COMPLETED
    states = {status.state for status in statuses}
    if ShardState.RUNNING in states:
        return RunState.RUNNING
    if ShardState.PENDING in states:
        return RunState.RUNNING if facts.done else RunState.PENDING
    if facts.being_submitted:
        return RunState.PENDING
    if ShardState.UNKNOWN in states:
        return RunState.UNKNOWN
    if facts.cancelled is not None:
        return RunState.CANCELLED
    return RunState.INCOMPLETE if facts.done else RunState.FAILED


def _rate(facts: ShardsFacts) -> float | None:
    """Shards per second: over the newest quarter of those of the newest submission, at least the last five."""
    since = facts.submitted or 0.0
    times = sorted(time for time in facts.done.values() if time >= since)
    if len(times) < 2:
        return None
    newest = times[-max(len(times) // 4, 5) :]
    span = facts.now - newest[0]
    return (len(newest) - 1) / span if span > 0 and len(newest) > 1 else None


def _words(facts: ShardsFacts, state: RunState, statuses: Sequence[ShardStatus]) -> tuple[str, str, bool]:
    """Message, next step, and whether what waits will never start."""
    if state is RunState.COMPLETED:
        return "", "", False
    if facts.being_submitted and not any(status.state.is_active for status in statuses):
        return "It is being submitted.", "", False
    if state is RunState.UNKNOWN:
        return "Slurm cannot be asked, and the files of the run do not tell.", "Try again in a few minutes.", False
    if not state.is_final:
        return _waiting(facts, statuses)
    again = f"`curator-slurm retry {facts.run_id}`"
    left = [status for status in statuses if status.state is ShardState.NOT_SUBMITTED]
    if len(left) == len(statuses):
        return f"{_shards(len(left))} never submitted.", f"{again} submits the rest.", False
    steps = Counter(status.next_step for status in statuses if status.next_step)
    hint = f"{steps.most_common(1)[0][0].rstrip('.')}. " if steps else ""
    return "", f"{hint}{again} submits what is not done.", False


def _shards(count: int) -> str:
    return "1 shard was" if count == 1 else f"{count:,} shards were"


def _waiting(facts: ShardsFacts, statuses: Sequence[ShardStatus]) -> tuple[str, str, bool]:
    if facts.cancelled is not None:
        return "The run is being cancelled.", "", False
    running = any(status.state is ShardState.RUNNING for status in statuses)
    reasons = Counter(status.reason for status in statuses if status.state is ShardState.PENDING and status.reason)
    waiting = [messages.waiting(reason, "") for reason, _ in reasons.most_common()]
    bad = next((wait for wait in waiting if wait.never), None)
    if bad is not None:
        return f"Some elements will not start: {bad.words}.", bad.next_step, not running
    if running or not waiting:
        return "", "", False
    return f"Its elements wait: {waiting[0].words}.", waiting[0].next_step, False
