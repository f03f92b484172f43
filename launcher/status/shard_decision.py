"""What state one shard is in and why: a pure decision over the facts of its run.

What was written by the attempt counts more than what its element wrote, that more than Slurm's state, that more than
what the nodes and the log say.
"""

from __future__ import annotations

from dataclasses import replace

from curator_slurm.common.in_words import several
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.attempt_names import base_of, is_later
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.facts import (
    NO_ATTEMPT,
    AttemptFacts,
    ElementFacts,
    RunFacts,
    ShardPlace,
    silence_at_end,
)
from curator_slurm.launcher.status.job_endings import ending_of_job, script_killed
from curator_slurm.launcher.status.next_steps import default_step
from curator_slurm.launcher.status.reports import (
    NO_PROGRESS,
    EventsReport,
    OutcomeReport,
    failed_node,
)
from curator_slurm.launcher.status.shard_status import ShardDetail, ShardState, ShardStatus
from curator_slurm.launcher.status.time_left import too_slow

EVIDENCE_LINES = 15


def decide_shard(facts: RunFacts, shard: int, *, is_next: bool = False) -> ShardStatus:
    """The state of a shard that these facts prove; `is_next`: it is the one that its running element starts with."""
    place, element = facts.places.get(shard), facts.element_of(shard)
    attempt = facts.attempts.get(shard, NO_ATTEMPT)
    attempt = attempt if shard in facts.done else _current(element, attempt)
    by_hand = _submitted_by_hand(place, attempt)
    if by_hand is not None:
        place, element = by_hand, facts.elements.get(by_hand.element_id)
    if shard in facts.done:
        status = _done(shard, place, attempt)
    elif place is not None and place.restarts and not place.element_id:
        words = "It was interrupted, and its next job is being submitted."
        status = replace(_status(shard, ShardState.RESTARTING, place, attempt), message=words)
    elif place is None or not place.element_id:
        unsure = place is not None and bool(facts.query_error)
        status = ShardStatus(shard=shard, state=ShardState.UNKNOWN if unsure else ShardState.NOT_SUBMITTED)
    elif place.element_id in facts.restart_due and facts.is_active(shard):
        status = _to_restart(facts, shard, place, attempt)
    elif facts.total == 1 and _agent_is_ending(facts, element, attempt):
        status = _failed_but_going(facts, shard, place, attempt)
    elif _has_ended(facts, shard, attempt):
        status = _ended(facts, shard, place, element, attempt)
    elif element is not None and facts.is_active(shard):
        status = _active(facts, shard, place, element, attempt, is_next=is_next)
    elif element is None and (place.submission is None or not facts.is_local) and facts.is_fresh(attempt.heartbeat):
        status = _unknown_but_alive(facts, shard, place, attempt, expected=place.submission is None)
    elif element is not None and element.is_unverifiable:
        status = _elsewhere(facts, shard, place, attempt)
    elif facts.query_error and element is None:
        status = _status(shard, ShardState.UNKNOWN, place, attempt)
    else:
        status = _ended(facts, shard, place, element, attempt)
    return _with_detail(facts, status, element, attempt) if shard in facts.detailed else status


def _submitted_by_hand(place: ShardPlace | None, attempt: AttemptFacts) -> ShardPlace | None:
    """The job of an attempt that is newer than every submission: somebody gave its script to sbatch."""
    job_id = base_of(attempt.name or "")
    return ShardPlace(None, job_id) if place is not None and is_later(job_id, place.element_id) else None


def _current(element: ElementFacts | None, attempt: AttemptFacts) -> AttemptFacts:
    """The attempt, unless its job was requeued and Slurm is at a later one that has left no file yet."""
    if attempt is NO_ATTEMPT or element is None or element.state.is_final:
        return attempt
    restarted = element.restarts is not None and element.restarts > attempt.restart
    waits = element.state.run_state is RunState.PENDING and _failure(attempt) is not None
    return AttemptFacts(count=attempt.count) if restarted or waits else attempt


def _status(shard: int, state: ShardState, place: ShardPlace, attempt: AttemptFacts) -> ShardStatus:
    return ShardStatus(
        shard=shard,
        state=state,
        submission=place.submission,
        job_id=place.element_id,
        attempt=attempt.name,
        attempts=attempt.count,
    )


def _done(shard: int, place: ShardPlace | None, attempt: AttemptFacts) -> ShardStatus:
    outcome = attempt.outcome or attempt.element_outcome
    status = _status(shard, ShardState.DONE, place or ShardPlace(0, ""), attempt)
    if outcome is None:
        return status
    message = outcome.message if outcome.state is RunState.COMPLETED else ""
    return replace(status, message=message, started=outcome.started)


# Not ended


def _failure(attempt: AttemptFacts) -> OutcomeReport | None:
    """The outcome that tells why there is no success: the attempt's own, else its element's; one with a class first."""
    if attempt.outcome is None and attempt.element_outcome is None:
        return attempt.ending  # None, as of thousands that are pending
    found = [each for each in (attempt.outcome, attempt.element_outcome) if each is not None]
    proved = (each for each in found if each.failure_class or each.state is RunState.CANCELLED)
    return next(proved, next((each for each in found if each.state is RunState.FAILED), None))


def _has_ended(facts: RunFacts, shard: int, attempt: AttemptFacts) -> bool:
    """Whether the attempt has left why there is no success; while its job is taken down after a signal, it has not.

    Nor has one that only knows that a signal came, as long as Slurm has not said of the job how it ended.
    """
    outcome = _failure(attempt)
    if outcome is None or not (outcome is attempt.ending or _is_guess(outcome)):
        return outcome is not None
    return not (facts.is_active(shard) or (facts.element_of(shard) is None and facts.is_fresh(attempt.heartbeat)))


def _active(
    facts: RunFacts, shard: int, place: ShardPlace, element: ElementFacts, attempt: AttemptFacts, *, is_next: bool
) -> ShardStatus:
    begun = facts.begun.get(shard)
    state = ShardState.PENDING
    if begun is not None or facts.is_settling(element):
        state = ShardState.RUNNING
    elif element.state.run_state is not RunState.PENDING:
        state = ShardState.STARTING if is_next else ShardState.PENDING
    elif facts.is_restart(place):
        state = ShardState.RESTARTING
    if state is ShardState.RUNNING and attempt.events is not None and not attempt.events.driver_started:
        state = ShardState.STARTING
    if begun is not None and shard in facts.draining:
        state = ShardState.DRAINING
    started = facts.begun_at.get(shard) or element.started or (attempt.events.started if attempt.events else None)
    waits = state in (ShardState.PENDING, ShardState.RESTARTING)
    status = ShardStatus(
        shard=shard,
        state=state,
        submission=place.submission,
        job_id=place.element_id,
        attempt=begun or attempt.name,
        attempts=attempt.count,
        started=None if waits else started,
        reason=element.reason if waits else "",
    )
    return replace(status, message=_message(facts, status, element, attempt)) if shard in facts.detailed else status


def _message(facts: RunFacts, status: ShardStatus, element: ElementFacts, attempt: AttemptFacts) -> str:
    if facts.cancelled is not None or status.job_id in facts.cancelled_elements:
        return "The run is being cancelled." if facts.cancelled is not None else "The element is being cancelled."
    if facts.is_settling(element):
        return "The job has just ended; its outcome is not visible here yet."
    if status.state is ShardState.PENDING and element.state.run_state is RunState.PENDING:
        waiting = messages.waiting(element.reason, status.job_id or "")
        return f"Job {status.job_id} {'will not start' if waiting.never else 'is waiting'}: {waiting.words}."
    if status.state is ShardState.RESTARTING:
        waiting = messages.waiting(element.reason, status.job_id or "")
        never = f"; it will not start: {waiting.words}" if waiting.never else f", waiting: {waiting.words}"
        return f"It was interrupted, and is in the queue again as job {status.job_id}{never}."
    if status.state is ShardState.DRAINING:
        return "It was told to leave: nothing new begins, and what is in flight may end."
    if status.state is ShardState.PENDING:
        return f"Job {status.job_id} is processing other shards first."
    return _start(element, attempt) if status.state is ShardState.STARTING else ""


def _start(element: ElementFacts, attempt: AttemptFacts) -> str:
    """How far the start of the cluster has come."""
    events = attempt.events or EventsReport()
    if not (events.last or attempt.nodes):
        return "The job has started; no node has reported yet."
    if (failed := failed_node(attempt.nodes)) is not None:
        return f"Node {failed.node} failed: {failed.message}"
    joined = sum(node.state == "joined" for node in attempt.nodes)
    if element.nodes and joined:
        have = "has" if joined == 1 else "have"
        return f"{joined} of {several(len(element.nodes), 'node')} {have} joined the cluster."
    return events.last or "The nodes are getting ready."


def _unknown_but_alive(
    facts: RunFacts, shard: int, place: ShardPlace, attempt: AttemptFacts, *, expected: bool
) -> ShardStatus:
    """Slurm does not know the job or cannot be asked (or was not, which is expected), but its heartbeat is fresh."""
    begun = replace(facts, begun={**facts.begun, shard: attempt.name} if attempt.name else facts.begun)
    status = _active(begun, shard, place, ElementFacts(SlurmState.RUNNING), attempt, is_next=True)
    if facts.query_error or expected:
        return status  # the run has this warning
    warning = f"Slurm does not know job {place.element_id}, but its heartbeat is recent"
    return replace(status, detail=ShardDetail(warnings=(warning,)))


def _elsewhere(facts: RunFacts, shard: int, place: ShardPlace, attempt: AttemptFacts) -> ShardStatus:
    return replace(
        _status(shard, ShardState.UNKNOWN, place, attempt),
        message=f"The run was started on {facts.host or 'another machine'}; only that machine can tell if it is alive.",
        next_step=f"Run this command on {facts.host or 'that machine'}.",
    )


def _agent_is_ending(facts: RunFacts, element: ElementFacts | None, attempt: AttemptFacts) -> bool:
    """Whether the only attempt of an element has failed, and the element has not ended: it cleans up after itself."""
    if attempt.outcome is None or _failure(attempt) is None:
        return False
    if element is not None and (element.state.is_final or element.is_unverifiable):
        return False
    if facts.is_local:
        return element is not None and not (element.elsewhere and attempt.element_outcome is not None)
    return attempt.element_outcome is None and (element is not None or facts.is_fresh(attempt.heartbeat))


def _to_restart(facts: RunFacts, shard: int, place: ShardPlace, attempt: AttemptFacts) -> ShardStatus:
    """Its attempt was interrupted, and its job is about to be put in the queue again."""
    outcome = _failure(attempt)
    why = f": {outcome.message}" if outcome is not None and outcome.message else "."
    words = f"It was interrupted, and begins again by itself{why}"
    return replace(
        _status(shard, ShardState.RESTARTING, place, attempt),
        message=words if facts.cancelled is None else "The run is being cancelled.",
    )


def _failed_but_going(facts: RunFacts, shard: int, place: ShardPlace, attempt: AttemptFacts) -> ShardStatus:
    outcome = attempt.outcome
    assert outcome is not None
    message = f"The job is ending: {outcome.message}" if outcome.message else "The job is ending."
    return replace(
        _status(shard, ShardState.RUNNING, place, attempt),
        message=message if facts.cancelled is None else "The run is being cancelled.",
        started=outcome.started,
    )


# Ended without success


def _ended(
    facts: RunFacts, shard: int, place: ShardPlace, element: ElementFacts | None, attempt: AttemptFacts
) -> ShardStatus:
    failure, message, next_step = _why(facts, place, element, attempt)
    asked = facts.was_cancelled(place)
    outcome = _failure(attempt)
    killed = failure is FailureClass.NODE_FAILED and _ended_after(outcome, facts.cancelled)
    unproved = killed or failure in (None, FailureClass.UNKNOWN, FailureClass.CANCELLED)
    cancelled = failure is FailureClass.CANCELLED or (asked and unproved)
    if cancelled and (killed or outcome is None or not outcome.message):
        message = "The run was cancelled." if facts.cancelled is not None else "The job was cancelled."
    failure = FailureClass.CANCELLED if cancelled else failure or FailureClass.UNKNOWN
    known = "" if cancelled else next_step
    return replace(
        _status(shard, ShardState.CANCELLED if cancelled else ShardState.FAILED, place, attempt),
        failure_class=failure,
        message=message,
        next_step=known or default_step(failure, facts.run_id),
        started=_first(outcome.started if outcome else None, element.started if element else None),
    )


def _ended_after(outcome: OutcomeReport | None, cancelled: float | None) -> bool:
    """Whether the end came after the run was cancelled: the signal kills an agent that is only just starting."""
    ended = outcome.ended if outcome is not None else None
    return ended is not None and cancelled is not None and ended >= cancelled


def _why(
    facts: RunFacts, place: ShardPlace, element: ElementFacts | None, attempt: AttemptFacts
) -> tuple[FailureClass | None, str, str]:
    """Failure class, message and next step."""
    outcome = _failure(attempt)
    slurm_says = element.failure_class if element is not None else None
    guess = outcome is not None and _is_guess(outcome)
    killed = script_killed(place.element_id, element) if guess and not facts.was_cancelled(place) else None
    if killed is not None:
        return FailureClass.NODE_FAILED, *killed
    if outcome is not None and not (guess and slurm_says not in (None, FailureClass.CANCELLED)):
        cancelled = outcome.state is RunState.CANCELLED
        failure = outcome.failure_class or (FailureClass.CANCELLED if cancelled else None)
        return failure, outcome.message, outcome.next_step
    if not facts.was_cancelled(place) and (silent := silence_at_end(element, attempt)) is not None:
        words = f"Job {place.element_id} was cancelled {silent:.0f} s after the last heartbeat of its head node."
        return FailureClass.NODE_FAILED, words, ""
    if element is not None and element.failure_class is not None:
        return element.failure_class, *ending_of_job(place.element_id, element)
    if (node := failed_node(attempt.nodes)) is not None:
        return node.failure_class, f"Node {node.node}: {node.message}", node.next_step
    in_log = None if facts.is_local else messages.state_in_log(attempt.log_tail)
    if in_log is not None:
        return in_log.failure_class, *messages.ending(in_log)
    if attempt.outcome is not None and attempt.outcome.state is RunState.COMPLETED:
        return FailureClass.UNKNOWN, "The attempt completed, but its outputs were not published.", ""
    if facts.is_local:
        return None, "The process of the run ended without writing an outcome.", ""
    if element is not None and messages.could_not_open_log(element.reason, element.exit_code, element.signal):
        return FailureClass.STORAGE, *messages.without_log(facts.run_dir, element.nodes)
    return None, *ending_of_job(place.element_id, element)


def _is_guess(outcome: OutcomeReport) -> bool:
    """Whether it tells of a signal alone, which may have come from the user, the time limit or a preemption."""
    return outcome.provisional and outcome.failure_class is FailureClass.CANCELLED


# Details


def _with_detail(
    facts: RunFacts, status: ShardStatus, element: ElementFacts | None, attempt: AttemptFacts
) -> ShardStatus:
    """`status` with all that was read of its attempt."""
    over = not status.state.is_active
    outcome = attempt.outcome or attempt.element_outcome if status.state is ShardState.DONE else _failure(attempt)
    outcome = outcome if over else None
    in_files = tuple(node.node for node in attempt.nodes)
    waits = status.state in (ShardState.PENDING, ShardState.RESTARTING) and element is not None
    waiting = messages.waiting(element.reason, status.job_id or "") if waits and element else None
    cancelling = facts.cancelled is not None
    detail = replace(
        status.detail,
        evidence=_evidence(status, outcome, attempt),
        nodes=(outcome.nodes if outcome else ()) or (element.nodes if element else ()) or in_files,
        node_reports=attempt.nodes,
        ended=_ended_at(facts, status, element, outcome) if over else None,
        exit_code=outcome.exit_code if outcome else element.exit_code if element and over else None,
        outputs=outcome.outputs if outcome else None,
        progress=attempt.progress or NO_PROGRESS,
        warnings=(*status.detail.warnings, *(outcome.warnings if outcome else ())),
        never_starts=waiting is not None and waiting.never and not cancelling,
    )
    if (
        element is not None
        and not (over or waits or cancelling)
        and (slow := too_slow(detail.progress.stages, facts.now, element.ends_by))
    ):
        detail = replace(detail, warnings=(*detail.warnings, slow))
    next_step = waiting.next_step if waiting and not cancelling else status.next_step
    started = status.started or (attempt.events.started if attempt.events and not waits else None)
    return replace(status, detail=detail, next_step=next_step, started=started)


def _evidence(status: ShardStatus, outcome: OutcomeReport | None, attempt: AttemptFacts) -> tuple[str, ...]:
    if outcome is not None:
        return outcome.evidence
    return attempt.log_tail[-EVIDENCE_LINES:] if status.state is ShardState.FAILED else ()


def _ended_at(
    facts: RunFacts, status: ShardStatus, element: ElementFacts | None, outcome: OutcomeReport | None
) -> float | None:
    asked = facts.cancelled if status.state is ShardState.CANCELLED else None
    return _first(outcome.ended if outcome else None, element.ended if element else None, asked)


def _first(*times: float | None) -> float | None:
    return next((time for time in times if time is not None), None)
