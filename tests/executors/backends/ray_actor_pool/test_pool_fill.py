"""How the actor pool fills a cluster, in simulated time: the shapes of the benchmark, and runs at random."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_simulation import PROCESS_S, Simulation, Work

FOUR = [(4.0, 0.0)] * 4
GPUS = [(4.0, 2.0)] * 4


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch):
    def make(nodes: Sequence[tuple[float, float]], works: Sequence[Work]) -> Simulation:
        return Simulation(nodes, works, lambda now: monkeypatch.setattr(time, "monotonic", lambda: now))

    return make


@pytest.mark.parametrize(
    ("nodes", "works", "tasks", "ideal", "most"),
    [
        (FOUR, [Work(0.25)], 640, 10, 2.5),
        (FOUR, [Work(0.05), Work(0.45)], 320, 10, 4),
        (FOUR, [Work(0.45), Work(0.05)], 320, 10, 4),
        (FOUR, [Work(0.5, setup_s=10)], 320, 20, 3),
        (FOUR, [Work(0.05), Work(0.5, setup_s=10)], 320, 21, 5),
        (GPUS, [Work(0.1), Work(0.25, gpus=1)], 320, 10, 2.5),
        (GPUS, [Work(0.05), Work(0.25, gpus=1, setup_s=10), Work(0.05)], 640, 30, 3),
        (GPUS, [Work(0.05), Work(0.25, gpus=1, setup_s=60), Work(0.05)], 640, 80, 3),
        (FOUR[:3], [Work(0.4)], 328, 11, 2.5),
        ([(16.0, 0.0)] * 8, [Work(30.0)], 512, 120, 5),
    ],
    ids=["one", "skewed", "skewed back", "setup", "late setup", "gpu", "model", "large model", "many", "large"],
)
def test_shapes_take_little_longer_than_their_work(simulate, nodes, works, tasks, ideal, most) -> None:
    run = simulate(nodes, works)
    assert run.run(tasks, 10 * ideal + 100) < ideal + most
    assert run.outputs == tasks
    assert set(run.on_nodes) == {f"n{index}" for index in range(len(nodes))}


def test_a_stage_that_waits_for_input_loads_its_models_on_all_gpus_meanwhile(simulate) -> None:
    run = simulate(GPUS, [Work(20.0), Work(1.0, gpus=1, setup_s=15)])
    run.run(64, 1000)
    assert run.started[1] == 8


def test_gpus_are_shared_between_the_stages_that_take_them(simulate) -> None:
    run = simulate(GPUS, [Work(0.5, gpus=1, setup_s=30), Work(0.5, gpus=1, setup_s=30)])
    assert run.run(400, 1000) < 31 + 400 / 8 + 10
    assert run.started == {0: 4, 1: 4}


def test_workers_with_an_expensive_setup_do_not_move_for_less(simulate) -> None:
    run = simulate(FOUR, [Work(0.5, setup_s=60), Work(0.25, setup_s=60)])
    run.run(200, 1000)
    assert not +run.ended_ready


def test_workers_move_within_seconds_where_setup_is_cheap(simulate) -> None:
    run = simulate(FOUR, [Work(0.05), Work(1.0)])
    run.run(400, 1000)
    assert run.started[0] + run.started[1] <= 16 + 8  # none of them goes back


@pytest.mark.parametrize(("tasks", "seconds"), [(2000, 0.0005), (3, 0.5), (1, 5.0), (40, 0.02)])
def test_small_jobs_run_on_few_workers(simulate, tasks: int, seconds: float) -> None:
    run = simulate(FOUR, [Work(seconds), Work(seconds)])
    run.run(tasks, 100)
    assert max(run.started.values()) <= len(FOUR)


def test_a_stage_that_makes_many_tasks_of_one_is_followed_by_many_workers(simulate) -> None:
    run = simulate(FOUR, [Work(0.1, outputs=640), Work(0.25)])
    assert run.run(1, 1000) < 10 + 4


WORKS = st.builds(
    Work,
    seconds=st.sampled_from([0.001, 0.1, 1.0, 7.0]),
    setup_s=st.sampled_from([0.0, 0.0, 2.0, 20.0]),
    cpus=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    gpus=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    outputs=st.sampled_from([0, 1, 1, 3]),
    spec=st.sampled_from([(), (("max_workers", 2),), (("min_workers", 2),), (("initial_workers", 3),)]),
    workers=st.sampled_from([None, None, None, 2]),
)


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(
    nodes=st.lists(st.tuples(st.sampled_from([3.0, 4.0, 8.0]), st.sampled_from([1.0, 2.0])), min_size=1, max_size=3),
    works=st.lists(WORKS, min_size=1, max_size=4),
    tasks=st.integers(0, 30),
)
def test_any_run_ends_with_all_of_its_work_done_within_the_nodes(nodes, works, tasks) -> None:
    with pytest.MonkeyPatch.context() as patch:
        run = Simulation(nodes, works, lambda now: patch.setattr(time, "monotonic", lambda: now))
        count, serial = tasks, 0.0
        for work in works:
            serial += count * work.seconds + work.setup_s + PROCESS_S
            count *= work.outputs
        run.run(tasks, 60 + 3 * serial)
        assert run.outputs == math.prod([tasks, *(work.outputs for work in works)])
