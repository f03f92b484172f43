"""What state a run is in and why: a pure aggregate over the states of its shards.

A run of one shard is what its shard is, with its stages, evidence and nodes. Of a run of many, only shards that are
not done have a status each. A run whose shards are all done goes on until its elements have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.facts import ElementFacts, RunFacts, next_of_each_element
from curator_slurm.launcher.status.next_steps import with_next_command
from curator_slurm.launcher.status.reports import StageReport, StoreReport
from curator_slurm.launcher.status.shard_decision import decide_shard
from curator_slurm.launcher.status.shard_status import ShardState, ShardStatus


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The state of a run and its reasons; `open` has its shards that are not done, `details` those asked for."""

    state: RunState
    total: int = 1
    done: int = 0
    open: Sequence[ShardStatus] = ()
    details: Mapping[int, ShardStatus] = field(default_factory=dict)
    failure_class: FailureClass | None = None
    message: str = ""
    next_step: str = ""
    rate: float | None = None
    """Shards per second, lately."""
    eta_s: float | None = None
    restarts: int = 0
    started: float | None = None
    ended: float | None = None
    never_starts: bool = False
    unreadable: bool = False
    """Its files cannot be read, which is why its state is unknown."""
    warnings: Sequence[str] = ()

    @property
    def only(self) -> ShardStatus | None:
        """The shard of a run that has one."""
        return self.details.get(0) if self.total == 1 else None

    @property
    def stages(self) -> Sequence[StageReport]:
        """The stages of a run of one shard; of many, the shards are one stage."""
        if self.total == 1:
            return self.only.detail.progress.stages if self.only else ()
        failed = len(self.of(ShardState.FAILED))
        shards = StageReport(
            name="shards",
            kind="shards",
            tasks_in=self.done,
            tasks_out=self.done,
            tasks_failed=failed,
            expected=self.total,
            rate=self.rate,
            eta_s=self.eta_s,
        )
        return (shards,)

    @property
    def object_store(self) -> StoreReport | None:
        """Ray's object store of a run of one shard."""
        return self.only.detail.progress.object_store if self.only else None

    @property
    def evidence(self) -> Sequence[str]:
        """The log lines that prove the failure of a run of one shard."""
        return self.only.detail.evidence if self.only else ()

    @property
    def outputs(self) -> str | None:
        """Where a run of one shard has put its outputs."""
        return self.only.detail.outputs if self.only else None

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


def decide(facts: RunFacts) -> RunStatus:
    """The state of the run and of its shards that these facts prove."""
    left = facts.open_shards
    following = next_of_each_element(facts, left)
    statuses = [decide_shard(facts, shard, is_next=shard in following) for shard in left]
    details = {status.shard: status for status in statuses if status.shard in facts.detailed}
    details |= {shard: decide_shard(facts, shard) for shard in facts.detailed if shard in facts.done}
    if facts.total == 1 and 0 in details:
        return _of_one(facts, details[0], statuses)
    return _of_many(facts, statuses, details)


def _warnings(facts: RunFacts) -> list[str]:
    """Doubts about what the facts prove."""
    found = []
    if facts.query_error:
        found.append(f"{facts.query_error.splitlines()[0].rstrip('.')}. Shown is what the files of the run say.")
    if facts.query_doubt and facts.open_shards:
        found.append(
            f"{facts.query_doubt.splitlines()[0]} How jobs ended that its controller has forgotten is unknown."
        )
    if any(element.elsewhere and not element.is_unverifiable for element in facts.elements.values()):
        found.append(f"The run is on {facts.host or 'another machine'}. Shown is what its files say.")
    return found


_CANNOT_TELL = "Slurm cannot be asked, and the files of the run do not tell."
_TRY_AGAIN = "Try again in a few minutes."
_BEING_SUBMITTED = "It is being submitted."
_CONTINUES = "There was no room in the queue for all of it; the rest is submitted when there is."
_ENDING = "All outputs are published; the job is ending: Ray stops, its logs are packed, secrets are removed."
_REQUEUED = "All outputs are published; Slurm has its job in the queue again, which will find nothing to do."


def _is_ending(facts: RunFacts) -> bool:
    """Whether an element of a run whose shards are all done has not ended yet.

    It has when Slurm says so, or its process is gone, or it left its outcome. Where nobody can tell that (Slurm cannot
    be asked or has forgotten the job, or it was submitted by hand), it is going on while its heartbeat is fresh.
    """
    if any(_goes_on(facts, name, element) for name, element in facts.elements.items()):
        return True
    publisher = facts.publisher
    if publisher is None or facts.is_local or publisher.element_id in facts.outcomes:
        return False
    return publisher.element_id not in facts.elements and facts.is_fresh(publisher.heartbeat)


def _goes_on(facts: RunFacts, name: str, element: ElementFacts) -> bool:
    if element.state.is_final or element.is_unverifiable:
        return False
    lives_here = facts.is_local and not element.elsewhere
    return lives_here or name not in facts.outcomes


def _ending_words(facts: RunFacts) -> tuple[str, str]:
    """Message and next step."""
    going = [element for name, element in facts.elements.items() if _goes_on(facts, name, element)]
    if not going or any(element.state.run_state is not RunState.PENDING for element in going):
        return _ENDING, ""
    return _REQUEUED, f"`curator-slurm cancel {facts.run_id}` takes it out of the queue."


def _of_one(facts: RunFacts, shard: ShardStatus, statuses: Sequence[ShardStatus]) -> RunStatus:
    state = _run_state(facts, statuses)
    message, next_step, failure = shard.message, shard.next_step, shard.failure_class
    if facts.being_submitted and not shard.state.is_active and state is RunState.PENDING:
        message, next_step, failure = _BEING_SUBMITTED, "", None
    elif shard.state is ShardState.NOT_SUBMITTED and state is RunState.FAILED:
        failure = FailureClass.UNKNOWN
        message = "The run was prepared, but never submitted: by `render --output`, or because submit was interrupted."
        next_step = f"`curator-slurm retry {facts.run_id}` submits it, and so does sbatch with its script."
    elif state is RunState.UNKNOWN and not message:
        message, next_step = _CANNOT_TELL, _TRY_AGAIN
    elif shard.state is ShardState.DONE and not state.is_final:
        message, next_step = _ending_words(facts)
    if state is RunState.CANCELLED:
        failure = FailureClass.CANCELLED
    if state in (RunState.CANCELLED, RunState.FAILED):
        next_step = with_next_command(failure, next_step, facts.run_id)
    detail = shard.detail
    ended = detail.ended if detail.ended is not None else facts.done.get(0)
    return RunStatus(
        state=state,
        done=len(facts.done),
        open=statuses,
        details={0: shard},
        restarts=facts.restarts,
        failure_class=failure,
        message=message,
        next_step=next_step,
        started=shard.started,
        ended=ended if state.is_final or shard.state is not ShardState.DONE else None,
        never_starts=detail.never_starts,
        warnings=[*_warnings(facts), *detail.warnings],
    )


def _of_many(facts: RunFacts, statuses: Sequence[ShardStatus], details: Mapping[int, ShardStatus]) -> RunStatus:
    state = _run_state(facts, statuses)
    rate = _rate(facts)
    message, next_step, never = _words(facts, state, statuses)
    starts = [time for time in (facts.submitted, facts.created) if time is not None]
    status = RunStatus(
        state=state,
        total=facts.total,
        done=len(facts.done),
        open=statuses,
        details=details,
        restarts=facts.restarts,
        message=message,
        next_step=next_step,
        rate=rate,
        eta_s=len(statuses) / rate if rate and state is RunState.RUNNING else None,
        started=min(starts, default=None) if state is not RunState.PENDING else None,
        ended=max(facts.done.values(), default=None) if state is RunState.COMPLETED else None,
        never_starts=never,
        warnings=_warnings(facts),
    )
    return _with_class(status)


def _with_class(status: RunStatus) -> RunStatus:
    if status.state is RunState.CANCELLED:
        return replace(status, failure_class=FailureClass.CANCELLED)
    if status.state in (RunState.FAILED, RunState.INCOMPLETE):
        return replace(status, failure_class=next(iter(status.classes), FailureClass.UNKNOWN))
    return status


def _run_state(facts: RunFacts, statuses: Sequence[ShardStatus]) -> RunState:
    if not statuses:
        return RunState.RUNNING if _is_ending(facts) else RunState.COMPLETED
    states = {status.state for status in statuses}
    if ShardState.RUNNING in states:
        return RunState.RUNNING
    if ShardState.STARTING in states:
        return RunState.RUNNING if facts.done else RunState.STARTING
    if ShardState.DRAINING in states:
        return RunState.DRAINING
    if ShardState.RESTARTING in states:
        return RunState.RESTARTING
    if ShardState.PENDING in states:
        return RunState.RUNNING if facts.done else RunState.PENDING
    if facts.being_submitted:
        return RunState.PENDING
    if facts.continues and facts.cancelled is None and ShardState.NOT_SUBMITTED in states:
        return RunState.RUNNING if facts.done else RunState.PENDING
    if ShardState.UNKNOWN in states:
        return RunState.UNKNOWN
    if (facts.cancelled is not None and states != {ShardState.FAILED}) or (
        states == {ShardState.CANCELLED} and not facts.done
    ):
        return RunState.CANCELLED
    return RunState.INCOMPLETE if facts.done else RunState.FAILED


def _rate(facts: RunFacts) -> float | None:
    """Shards per second: over the newest quarter of those of the newest submission, at least the last five."""
    since = facts.submitted or 0.0
    times = sorted(time for time in facts.done.values() if time >= since)
    if len(times) < 2:
        return None
    newest = times[-max(len(times) // 4, 5) :]
    span = facts.now - newest[0]
    return (len(newest) - 1) / span if span > 0 and len(newest) > 1 else None


def _words(facts: RunFacts, state: RunState, statuses: Sequence[ShardStatus]) -> tuple[str, str, bool]:
    """Message, next step, and whether what waits will never start."""
    if not statuses:
        return ("", "", False) if state.is_final else (*_ending_words(facts), False)
    if facts.being_submitted and not any(status.state.is_active for status in statuses):
        return _BEING_SUBMITTED, "", False
    if state is RunState.UNKNOWN:
        explained = next((status for status in statuses if status.message), None)
        if explained is not None:
            return explained.message, explained.next_step, False
        return _CANNOT_TELL, _TRY_AGAIN, False
    if not state.is_final and not any(status.state.is_active for status in statuses):
        return _CONTINUES, "", False
    if not state.is_final:
        return _waiting(facts, statuses)
    again = f"`curator-slurm retry {facts.run_id}`"
    left = sum(status.state is ShardState.NOT_SUBMITTED for status in statuses)
    if left == len(statuses):
        return (
            f"{left:,} {'shard was' if left == 1 else 'shards were'} never submitted.",
            f"{again} submits the rest.",
            False,
        )
    steps = Counter(status.next_step for status in statuses if status.next_step)
    hint = steps.most_common(1)[0][0].rstrip(".") if steps else ""
    if "curator-slurm retry" in hint:
        return "", f"{hint}.", False
    return "", f"{hint}{'. ' if hint else ''}{again} submits what is not done.", False


_AT_WORK = (ShardState.RUNNING, ShardState.DRAINING, ShardState.STARTING)
_IN_QUEUE = (ShardState.PENDING, ShardState.RESTARTING)


def _waiting(facts: RunFacts, statuses: Sequence[ShardStatus]) -> tuple[str, str, bool]:
    if facts.cancelled is not None:
        return "The run is being cancelled.", "", False
    running = any(status.state in _AT_WORK for status in statuses)
    reasons = Counter(status.reason for status in statuses if status.state in _IN_QUEUE and status.reason)
    waiting = [messages.waiting(reason, "") for reason, _ in reasons.most_common()]
    bad = next((wait for wait in waiting if wait.never), None)
    if bad is not None:
        return f"Some elements will not start: {bad.words}.", bad.next_step, not running
    if running or not waiting:
        return "", "", False
    return f"All elements are waiting: {waiting[0].words}.", waiting[0].next_step, False
