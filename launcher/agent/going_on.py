"""Restarts as an element sees them: whether it may begin after those before it, and how the run goes on after it."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.outcomes import Outcomes
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.files import read_object, write_json
from curator_slurm.launcher.restart.element_history import ElementHistory, begin_history, read_history
from curator_slurm.launcher.restart.leave_request import Left, drop_links, rules_for, try_to_leave, was_cancelled
from curator_slurm.launcher.restart.policy import History, exhausted
from curator_slurm.launcher.runs.attempt_records import EventLog, Outcome
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.restart_request import How, read_request
from curator_slurm.launcher.runs.submissions import Submission, read_submissions, submission_of
from curator_slurm.launcher.states import RunState


class Restarts:
    """What came before this element, and what comes after it."""

    def __init__(self, context: AgentContext, outcomes: Outcomes, events: EventLog, shards: list[int]) -> None:
        self._context = context
        self._outcomes = outcomes
        self._events = events
        self._shards = shards

    def begin(self) -> Outcome | None:
        """Note what was finished when this element began; why it must not do anything, if that is so."""
        context = self._context
        if context.allocation.local:
            return None
        history = begin_history(context.cluster, context.submission, self._shards)
        before = ClusterPaths(context.run.elements / history.previous, context.run) if history.previous else None
        if before is not None:
            words = f"restart {history.restarts}, after {before.name}"
            self._events.add("restarted", words, restarts=history.restarts, after=before.name)
        try:
            own = submission_of(read_submissions(context.run), context.submission)
            cancelled = own is not None and (
                was_cancelled(context.cluster, own) or (before is not None and before.cancelled.exists())
            )
        except StorageError as error:
            log.warning("cannot tell whether the run was cancelled: %s", error)
            return None
        if cancelled:
            return self._outcomes.outcome(RunState.CANCELLED, "the run was cancelled", 1, FailureClass.CANCELLED)
        return None if before is None else self._not_again(before, history, own)

    def _not_again(self, before: ClusterPaths, history: ElementHistory, own: Submission | None) -> Outcome | None:
        """The end of an element that Slurm has started, and that was not to begin any more."""
        request = read_request(before)
        if request is not None and request.how is not How.DROP:
            return None
        said = _outcome_of(before)
        failure = failure_class_of(said.get("failure_class")) or FailureClass.NODE_FAILED
        if own is not None and own.record.link_of is not None and said:
            state = RunState.CANCELLED if failure is FailureClass.CANCELLED else RunState.FAILED
            words = f"{before.name} was the last of its chain: {said.get('message')}"
            return self._outcomes.outcome(state, words, 1, failure)
        stop = exhausted(History(history.restarts - 1, history.without_progress), rules_for(self._context.plan))
        if stop is None:
            return None
        words = f"Slurm has started the job again, but it does not begin any more: {stop.reason}"
        return self._outcomes.outcome(RunState.FAILED, words, 1, failure)

    def settle(self, outcome: Outcome) -> Outcome:
        """Leave the request to go on, where the run does; the outcome tells of it."""
        context = self._context
        if not context.allocation.local and outcome.state is RunState.COMPLETED:
            drop_links(context.cluster, context.plan, context.submission)
        if context.allocation.local or outcome.state is not RunState.FAILED:
            return outcome
        left = try_to_leave(context.cluster, context.plan, context.submission, outcome.failure_class)
        if not left.words:
            return outcome
        self._events.add("restart_requested" if left.goes_on else "not_restarted", left.words)
        tell_attempts(context.cluster, left)
        return replace(outcome, message=f"{outcome.message}; {left.words}")


def tell_attempts(cluster: ClusterPaths, left: Left) -> None:
    """The attempts that are meant say so, too."""
    history = read_history(cluster)
    for shard in history.numbers if history is not None else ():
        attempt = cluster.attempt(shard)
        value = read_object(attempt.outcome) or {}
        is_meant = not left.goes_on or (left.request is not None and shard in left.request.shards)
        if value.get("state") == RunState.FAILED and is_meant:
            with contextlib.suppress(OSError):
                write_json(attempt.outcome, {**value, "message": f"{value.get('message')}; {left.words}"})


def _outcome_of(before: ClusterPaths) -> dict[str, object]:
    for path in (before.outcome, before.ending):
        if (value := read_object(path)) is not None:
            return value
    return {}
