"""How the actor pool finds the task that kills its workers."""

from __future__ import annotations

from typing import Any

from curator_slurm.executors.backends.ray_actor_pool.data import Batch, Part, batch_len
from curator_slurm.executors.backends.ray_actor_pool.stage import Call, Worker
from curator_slurm.executors.backends.ray_actor_pool.suspects import after_death


def batch(tasks: int) -> Batch:
    return (Part(None, tasks, tasks, [0] * tasks).all(),)


def judged(batches: list[Batch], deaths: int, *, blamed: bool = True) -> list[tuple[int, int]]:
    worker: Any = Worker(None, 0, "n")
    suspects = after_death(Call(0, batches, worker, [], 0, deaths), blamed=blamed)
    return [(batch_len(suspect.batch), suspect.deaths) for suspect in suspects]


def test_a_batch_runs_once_more_as_a_whole_before_it_is_divided() -> None:
    assert judged([batch(3)], 0) == [(3, 1)]
    assert judged([batch(3)], 1) == [(1, 0)] * 3


def test_each_batch_of_a_call_of_several_runs_once_more_as_a_whole() -> None:
    assert judged([batch(2), batch(2), batch(1)], 0) == [(2, 1), (2, 1), (1, 0)]


def test_deaths_at_a_single_task_add_up() -> None:
    assert judged([batch(1)], 0) == [(1, 1)]
    assert judged([batch(1)], 2) == [(1, 3)]


def test_what_waited_behind_is_not_blamed() -> None:
    assert judged([batch(3), batch(1)], 0, blamed=False) == [(3, 0), (1, 0)]
    assert judged([batch(3)], 1, blamed=False) == [(3, 1)]
