"""What the actor pool does with the batches of a call whose worker died."""

from __future__ import annotations

from typing import Any

from curator_slurm.executors.backends.ray_actor_pool.queue import Batch, TaskBlock, batch_len
from curator_slurm.executors.backends.ray_actor_pool.stage_state import Call, Suspect, Worker, suspects_of
from curator_slurm.executors.run.blame import RerunDecision
from curator_slurm.executors.task_failures import FailurePolicy


def batch(tasks: int) -> Batch:
    return (TaskBlock(None, tasks, tasks, [0] * tasks).all(),)


def suspects(batches: list[Batch], deaths: int, *, blamed: bool = True) -> list[Suspect]:
    worker: Any = Worker(None, 0, "n")
    return suspects_of(Call(0, batches, worker, [], 0, deaths), FailurePolicy(), blamed=blamed)


def sizes_and_deaths(found: list[Suspect]) -> list[tuple[int, int]]:
    return [(batch_len(suspect.batch), suspect.deaths) for suspect in found]


def test_a_batch_is_divided_at_its_second_death() -> None:
    assert sizes_and_deaths(suspects([batch(3)], 0)) == [(3, 1)]
    assert sizes_and_deaths(suspects([batch(3)], 1)) == [(1, 0)] * 3


def test_each_batch_of_a_call_of_several_runs_once_more_as_a_whole() -> None:
    assert sizes_and_deaths(suspects([batch(2), batch(2), batch(1)], 0)) == [(2, 1), (2, 1), (1, 0)]


def test_the_third_death_of_a_single_task_is_its_last() -> None:
    assert [suspect.decision for suspect in suspects([batch(1)], 1)] == [RerunDecision.RERUN]
    assert [suspect.decision for suspect in suspects([batch(1)], 2)] == [RerunDecision.GIVE_UP]


def test_what_waited_behind_is_not_blamed() -> None:
    assert sizes_and_deaths(suspects([batch(3), batch(1)], 0, blamed=False)) == [(3, 0), (1, 0)]
    assert sizes_and_deaths(suspects([batch(3)], 1, blamed=False)) == [(3, 1)]
