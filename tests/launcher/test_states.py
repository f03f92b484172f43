"""The machine of run states: every transition is made to happen by facts, and facts make no other."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from curator_slurm.launcher.failure_classes import Blame, FailureClass, blame_of
from curator_slurm.launcher.states import TRANSITIONS, RunChange, RunState, Transition, may_follow
from curator_slurm.launcher.status.facts import AttemptFacts, ElementFacts, RunFacts, ShardPlace, SlurmState
from curator_slurm.launcher.status.gather import troubled
from curator_slurm.launcher.status.reports import outcome_of
from curator_slurm.launcher.status.run_decision import RunStatus, decide
from curator_slurm.launcher.status.shard_status import ShardState

NOW = 10_000.0
INTERRUPTED = outcome_of({"state": "failed", "failure_class": "preempted", "message": "Slurm ended the job: preempted"})
ENDS = (SlurmState.FAILED, SlurmState.CANCELLED, SlurmState.COMPLETED)


@dataclass(frozen=True)
class World:
    """What becomes of the jobs of a run whose shards are an element each; element -> what it is at."""

    jobs: dict[int, str] = field(default_factory=dict)
    """pending, starting, running, draining, due, again; or done, failed, cancelled."""
    asked_to_end: bool = False
    query_error: str = ""
    unreadable: bool = False

    def state(self) -> RunState:
        return self.status().state

    def status(self) -> RunStatus:
        return troubled(OSError("stale file handle")) if self.unreadable else decide(self.facts())

    def facts(self) -> RunFacts:
        slurm = {
            "pending": SlurmState.PENDING,
            "again": SlurmState.PENDING,
            "failed": SlurmState.FAILED,
            "cancelled": SlurmState.CANCELLED,
            "done": SlurmState.COMPLETED,
        }
        elements = {
            name(shard): ElementFacts(slurm.get(job, SlurmState.RUNNING), NOW - 500, NOW - 400)
            for shard, job in self.jobs.items()
        }
        at_work = {shard for shard, job in self.jobs.items() if job in ("running", "draining", "due")}
        return RunFacts(
            run_id="r",
            now=NOW,
            total=max(len(self.jobs), 1),
            done={shard: NOW - 400 for shard, job in self.jobs.items() if job == "done"},
            places={shard: ShardPlace(0, name(shard)) for shard in self.jobs},
            elements={} if self.query_error else elements,
            begun={shard: f"{name(shard)}.0" for shard in at_work},
            draining=frozenset(self._at("draining")),
            restart_due=frozenset(name(shard) for shard in self._at("due")),
            ran_before=frozenset(name(shard) for shard in self._at("again")),
            attempts={shard: AttemptFacts(name=f"{name(shard)}.0", outcome=INTERRUPTED) for shard in self._at("due")},
            cancelled=NOW - 500 if self.asked_to_end else None,
            query_error=self.query_error,
            being_submitted=not self.jobs,
            submitted=NOW - 900,
        )

    def _at(self, what: str) -> list[int]:
        return [shard for shard, job in self.jobs.items() if job == what]


def name(shard: int) -> str:
    return f"4711_{shard}"


def both(first: str, second: str | None = None) -> World:
    return World({0: first, 1: second or first})


SHAPES = {
    RunState.PENDING: both("pending"),
    RunState.STARTING: both("starting"),
    RunState.RUNNING: both("running"),
    RunState.DRAINING: both("draining"),
    RunState.RESTARTING: both("again"),
    RunState.COMPLETED: both("done"),
    RunState.FAILED: both("failed"),
    RunState.INCOMPLETE: both("done", "failed"),
    RunState.CANCELLED: replace(both("cancelled"), asked_to_end=True),
    RunState.UNKNOWN: replace(both("running"), query_error="Slurm does not answer"),
}
"""The plainest run of two elements in each state."""


def one(job: str, other: str) -> Callable[[World], World]:
    """The first element comes to this, the other to that."""
    return lambda world: replace(world, jobs={0: job, 1: other}, asked_to_end=False)


def happens(change: RunChange, before: RunState | None, after: RunState) -> tuple[World, World]:
    """The world before and after a change."""
    world = World() if before is None else SHAPES[before]
    if change is RunChange.SEEN_AGAIN:
        return world, SHAPES[after]
    if change is RunChange.LOST_SIGHT:
        if before in (RunState.COMPLETED, RunState.FAILED, RunState.INCOMPLETE, RunState.CANCELLED):
            return world, replace(world, unreadable=True)
        return world, replace(world, query_error="Slurm does not answer")
    if change is RunChange.CANCELLED:
        return world, replace(both("cancelled"), asked_to_end=True)
    if change is RunChange.OTHERS_GO_ON:
        job = {RunState.PENDING: "pending", RunState.STARTING: "starting"}[after]
        return replace(world, jobs={**world.jobs, 1: job}), both("failed", job)
    if change is RunChange.RETRIED_PARTLY and before is RunState.CANCELLED:
        world = replace(both("done", "cancelled"), asked_to_end=True)
    makes = {
        RunChange.SUBMITTED: one("pending", "pending"),
        RunChange.JOB_STARTED: one("starting", "draining" if before is RunState.DRAINING else "pending"),
        RunChange.WORK_BEGUN: one("running", "pending"),
        RunChange.DRAIN_BEGUN: one("draining", "pending"),
        RunChange.RESTART_DUE: one("due", "pending"),
        RunChange.ALL_DONE: one("done", "done"),
        RunChange.ENDED: one("failed", "failed"),
        RunChange.ENDED_PARTLY: one("done", "failed"),
        RunChange.RETRIED: one("pending", "pending"),
        RunChange.RETRIED_PARTLY: one("done", "pending"),
    }
    return world, makes[change](world)


@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda each: f"{each.before}-{each.change}-{each.after}")
def test_every_transition(transition: Transition) -> None:
    before, after = happens(transition.change, transition.before, transition.after)
    if transition.before is not None:
        assert before.state() is transition.before
    assert after.state() is transition.after


def test_every_state_is_reached_and_left() -> None:
    assert {each.after for each in TRANSITIONS} == set(RunState)
    assert {each.before for each in TRANSITIONS} == {None, *RunState}
    assert len(set(TRANSITIONS)) == len(TRANSITIONS)
    assert {each.change for each in TRANSITIONS} == set(RunChange)


def test_what_is_final_is_left_by_a_retry_alone() -> None:
    retries = {RunChange.RETRIED, RunChange.RETRIED_PARTLY, RunChange.LOST_SIGHT}
    for state in RunState:
        ways = {each.change for each in TRANSITIONS if each.before is state}
        assert state.is_final == (ways <= retries), state
        assert state.is_active == (RunChange.ALL_DONE in ways), state
    assert not may_follow(RunState.COMPLETED, RunState.RUNNING)


NEXT = {
    "pending": ("starting", "failed", "cancelled"),
    "starting": ("running", "draining", "due", "failed", "done"),
    "running": ("draining", "due", "done", "failed", "cancelled"),
    "draining": ("due", "done", "failed", "again"),
    "due": ("again", "failed"),
    "again": ("starting", "cancelled", "failed", "done"),
}
"""What an element may come to from where it is."""


@pytest.mark.parametrize("seed", range(40))
def test_facts_make_no_other_transition(seed: int) -> None:
    """Jobs of a run take their steps in any order, one at a time; what is seen before and after is in the table."""
    chance = random.Random(seed)
    world = World(dict.fromkeys(range(chance.randint(1, 4)), "pending"))
    while left := [shard for shard, job in world.jobs.items() if job in NEXT]:
        shard = chance.choice(left)
        after = replace(world, jobs={**world.jobs, shard: chance.choice(NEXT[world.jobs[shard]])})
        if chance.random() < 0.1:
            assert may_follow(world.state(), replace(world, query_error="no answer").state())
        assert may_follow(world.state(), after.state()), (world.jobs, after.jobs)
        world = after
    assert world.state().is_final


def test_what_a_run_that_restarts_says() -> None:
    due = decide(replace(World({0: "due"}).facts(), detailed=frozenset({0})))
    assert due.message == "It was interrupted, and begins again by itself: Slurm ended the job: preempted"
    again = decide(replace(World({0: "again"}).facts(), detailed=frozenset({0})))
    assert again.message.startswith("It was interrupted, and is in the queue again as job 4711_0, waiting: ")
    resubmitted = replace(World({0: "pending"}).facts(), places={0: ShardPlace(1, "4711_0", restarts=True)})
    assert decide(resubmitted).state is RunState.RESTARTING
    counts = World({0: "draining", 1: "again", 2: "pending", 3: "running"}).status().counts
    assert counts == dict.fromkeys(
        (ShardState.RUNNING, ShardState.DRAINING, ShardState.RESTARTING, ShardState.PENDING), 1
    )


def test_every_class_has_somebody_to_blame() -> None:
    assert blame_of(None) is None
    found = {failure: blame_of(failure) for failure in FailureClass}
    nobody = {failure for failure, blame in found.items() if blame is None}
    assert nobody == {FailureClass.CANCELLED, FailureClass.SUPERSEDED}
    assert set(found.values()) == {None, *Blame}
