"""When numbers of workers change on XennaExecutor, and whether a change pays."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from curator_slurm.executors.backends.xenna.engine.solver import DueSolver, StageChange
from curator_slurm.executors.backends.xenna.plans import Counts, Pace, StageFacts, pays

FAST = StageFacts(workers=8, calls=9, task_s=0.05, left=320, start_s=1)
SLOW = StageFacts(workers=8, calls=9, task_s=0.45, left=320, start_s=1)


# ---- when


def test_the_first_plan_is_made_at_once_and_the_next_when_all_are_measured() -> None:
    pace = Pace(180)
    unknown = StageFacts(workers=0)
    assert pace.due([unknown], 0)
    assert not pace.due([SLOW, replace(SLOW, calls=4)], 60)
    assert not pace.due([SLOW, replace(SLOW, starting=1)], 60)
    assert pace.due([SLOW, SLOW], 60)


def test_after_a_plan_there_is_a_pause_that_grows_while_nothing_is_to_change() -> None:
    pace = Pace(180)
    assert pace.due([SLOW], 0)
    assert not pace.due([SLOW], 1.9)
    assert pace.due([SLOW], 2)
    pace.judged(accepted=False)
    assert not pace.due([SLOW], 5.9)
    assert pace.due([SLOW], 6)
    for _ in range(9):
        pace.judged(accepted=False)
    assert not pace.due([SLOW], 35.9)
    assert pace.due([SLOW], 36)
    pace.judged(accepted=True)
    assert pace.due([SLOW], 38)


def test_a_stage_that_is_done_leaves_room_at_once() -> None:
    pace = Pace(180)
    assert pace.due([FAST, SLOW], 0)
    assert not pace.due([FAST, SLOW], 1)
    assert pace.due([replace(FAST, done=True), SLOW], 1)
    assert not pace.due([replace(FAST, done=True), SLOW], 2)


def test_whatever_is_known_the_engine_is_asked_at_intervals() -> None:
    pace = Pace(60)
    loading = StageFacts(workers=8, starting=8)
    assert pace.due([SLOW, loading], 0)
    assert not pace.due([SLOW, loading], 59)
    assert pace.due([SLOW, loading], 60)


# ---- whether


@pytest.mark.parametrize(
    ("stages", "changes", "expected"),
    [
        ([FAST, SLOW], [Counts(), Counts()], False),
        ([FAST, SLOW], [Counts(removed=6), Counts(added=6)], True),  # 18 s become 10.3 and a start
        ([FAST, SLOW], [Counts(removed=7), Counts(added=7)], False),  # 16 s of the fast one, on one worker
        ([FAST, replace(SLOW, start_s=10)], [Counts(removed=6), Counts(added=6)], False),  # loads for longer
        ([FAST, replace(SLOW, start_s=10, left=3200)], [Counts(removed=6), Counts(added=6)], True),
        ([FAST, replace(SLOW, limit=8)], [Counts(removed=6), Counts(added=6)], False),  # refused by the pool
        ([FAST, SLOW], [Counts(removed=3), Counts()], False),  # helps nobody
        ([FAST, SLOW], [Counts(), Counts(added=1)], True),
        ([FAST, replace(SLOW, left=8)], [Counts(), Counts(added=8)], False),  # over before they have started
        ([replace(FAST, done=True, workers=0), SLOW], [Counts(), Counts(added=8)], True),
    ],
)
def test_a_change_is_made_where_the_run_ends_earlier(
    stages: list[StageFacts], changes: list[Counts], expected: bool
) -> None:
    assert pays(stages, changes) is expected


def test_no_worker_is_ended_for_what_is_unknown_but_free_room_is_used() -> None:
    unknown = replace(SLOW, left=None)
    assert not pays([FAST, unknown], [Counts(removed=6), Counts(added=6)])
    assert not pays([FAST, replace(SLOW, task_s=None)], [Counts(removed=6), Counts(added=6)])
    assert pays([FAST, unknown], [Counts(), Counts(added=6)])
    assert pays([StageFacts(workers=0)], [Counts(added=16)])


# ---- between the engine and its solver


class Plans:
    def __init__(self, due: bool, accepted: bool) -> None:
        self._due, self._accepted = due, accepted
        self.changes: Any = None

    def due(self) -> bool:
        return self._due

    def accepts(self, changes: Any) -> bool:
        self.changes = changes
        return self._accepted

    def slots(self) -> list[int]:
        return [2, 3]


class Solver:
    asked = 0

    def autoscale(self, _time: float, _state: Any) -> Any:
        self.asked += 1
        new = SimpleNamespace(resources=[SimpleNamespace(node="n1")])
        stages = [
            SimpleNamespace(slots_per_worker=4, new_workers=[new], deleted_workers=[]),
            SimpleNamespace(slots_per_worker=5, new_workers=[], deleted_workers=[new, new]),
        ]
        return SimpleNamespace(stages=stages)


@pytest.mark.parametrize(("due", "accepted"), [(False, True), (True, False), (True, True)])
def test_the_solver_is_asked_when_a_plan_is_due_and_followed_where_it_is_accepted(due: bool, accepted: bool) -> None:
    solver, plans = Solver(), Plans(due, accepted)
    found = DueSolver(solver, plans).autoscale(0.0, None).stages
    assert solver.asked == due
    followed = due and accepted
    assert [len(stage.new_workers) for stage in found] == ([1, 0] if followed else [0, 0])
    assert [len(stage.deleted_workers) for stage in found] == ([0, 2] if followed else [0, 0])
    assert [stage.slots_per_worker for stage in found] == ([4, 5] if followed else [2, 3])
    if due:
        assert plans.changes == [StageChange(1, 0, frozenset({"n1"})), StageChange(0, 2)]
