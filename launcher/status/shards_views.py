"""A sharded run in the terms of any run: for `list`, `watch` and whoever wants one state of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, StorageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.decide import Decision
from curator_slurm.launcher.status.shards_decide import ShardsDecision, ShardState
from curator_slurm.launcher.status.shards_gather import Answer, ask, collect_facts, gather, tasks_of

STAGE = "shards"


def as_decision(shards: ShardsDecision) -> Decision:
    """The state of a sharded run as that of any run; its shards are one stage."""
    failed = len(shards.of(ShardState.FAILED))
    classes = list(shards.classes)
    failure = None
    if shards.state is RunState.CANCELLED:
        failure = FailureClass.CANCELLED
    elif shards.state in (RunState.FAILED, RunState.INCOMPLETE):
        failure = classes[0] if classes else FailureClass.UNKNOWN
    stage = {
        "name": STAGE,
        "kind": STAGE,
        "tasks_in": shards.done,
        "tasks_out": shards.done,
        "tasks_filtered": 0,
        "tasks_failed": failed,
        "expected": shards.total,
        "rate": shards.rate,
        "eta_s": shards.eta_s,
    }
    return Decision(
        state=shards.state,
        failure_class=failure,
        message=shards.message,
        next_step=shards.next_step,
        started=shards.started,
        ended=shards.ended,
        stages=[stage],
        never_starts=shards.never_starts,
        warnings=shards.warnings,
    )


def brief_status(run: Run) -> Decision:
    """The state of one sharded run."""
    try:
        return as_decision(gather(run, brief=True).decide())
    except StorageError as error:
        return Decision(state=RunState.UNKNOWN, message=str(error))


def brief_statuses(runs: Sequence[Run]) -> list[Decision]:
    """The states of many sharded runs; Slurm is asked once for all of them."""
    known: list[tuple[Run, Sequence[Submission] | str]] = []
    for run in runs:
        try:
            known.append((run, read_submissions(run.paths)))
        except CuratorSlurmError as error:
            known.append((run, str(error)))
    asked = [
        submission
        for run, submissions in known
        if not isinstance(submissions, str) and run.record and not run.record.is_local and not _is_done(run)
        for submission in submissions
    ]
    try:
        answer = Answer(tasks_of(asked))
    except SlurmError as error:
        answer = Answer(error=str(error))
    return [
        Decision(state=RunState.UNKNOWN, message=submissions)
        if isinstance(submissions, str)
        else as_decision(collect_facts(run, submissions, answer, brief=True).decide())
        for run, submissions in known
    ]


def _is_done(run: Run) -> bool:
    assert run.record is not None
    return len(done_shards(run.paths)) >= run.record.shards


class ShardsWatcher:
    """Looks at a sharded run again and again; Slurm is asked only every `interval_s`."""

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._asked = float("-inf")
        self._answer = Answer()
        self._submissions: Sequence[Submission] = ()

    def poll(self, run: Run) -> Decision:
        """The state now; one that seems final is confirmed by a fresh answer."""
        fresh = self._clock() - self._asked >= self._interval_s
        decision = self._look(run, fresh=fresh)
        return decision if fresh or not decision.state.is_final else self._look(run, fresh=True)

    def _look(self, run: Run, *, fresh: bool) -> Decision:
        if fresh:
            self._submissions, self._answer = ask(run)
            self._asked = self._clock()
        decision = collect_facts(run, self._submissions, self._answer, brief=True).decide()
        if decision.state.is_final:  # its failure classes matter now
            decision = collect_facts(run, self._submissions, self._answer).decide()
        return as_decision(decision)
