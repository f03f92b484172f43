"""Pools of the actor pool grow where work waits and give workers up where it does not; no Ray takes part."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from curator_slurm.executors import ProcessingStage, Resources
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_actor_pool.nodes import Need, Nodes
from curator_slurm.executors.backends.ray_actor_pool.placement import fit_stages
from curator_slurm.executors.backends.ray_actor_pool.queue import TaskBlock
from curator_slurm.executors.backends.ray_actor_pool.scale import Scaler
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker


class Idle(ProcessingStage[Any, Any]):
    def __init__(
        self,
        name: str,
        spec: dict[str, Any] | None = None,
        workers: int | None = None,
        cpus: float = 1,
        gpus: float = 0,
    ) -> None:
        self.name = name
        self.resources = Resources(cpus=cpus, gpus=gpus)
        self._spec = spec or {}
        self._workers = workers

    def process(self, task: Any) -> Any:
        return task

    def ray_stage_spec(self) -> dict[str, Any]:
        return self._spec

    def num_workers(self) -> int | None:
        return self._workers


class World:
    """Stages on one node; workers are ready as soon as they are started, and gone as soon as they are retired."""

    def __init__(self, cpus: float, *stages: Idle, gpus: float = 0) -> None:
        self.now = 1000.0
        self.stages = [StageState(index, StageAdapter(stage)) for index, stage in enumerate(stages)]
        self.nodes = Nodes(lambda: [{"NodeID": "n", "Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}])
        fit_stages(self.stages, self.nodes)
        self.started: Counter[str] = Counter()
        self.blocked: set[str] = set()
        self.scaler = Scaler(
            self.stages, self.nodes, self._start, self._retire, lambda stage: stage.name in self.blocked
        )

    def _start(self, stage: StageState, node_id: str) -> None:
        self.started[stage.name] += 1
        stage.workers.append(Worker(None, stage.index, node_id, True, born=self.now, idle_since=self.now))

    def _retire(self, worker: Worker) -> None:
        stage = self.stages[worker.stage]
        stage.workers.remove(worker)
        self.nodes.give_back(worker.node_id, stage.need)

    def waits(self, stage: int, tasks: int, seconds_each: float) -> None:
        self.stages[stage].queue.put(TaskBlock(None, tasks, tasks, [0] * tasks).all())
        self.stages[stage].batch_s = seconds_each

    def pass_time(self, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        for _ in range(int(seconds / 0.5)):
            self.now += 0.5
            monkeypatch.setattr("time.monotonic", lambda: self.now)
            self.scaler.step()
        return [len(stage.workers) for stage in self.stages]


def test_a_stage_with_work_grows_and_an_idle_one_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(6, Idle("a"), Idle("b"))
    world.waits(0, 1000, 1.0)
    assert world.pass_time(20, monkeypatch) == [5, 1]
    world.stages[0].queue.take(1000)
    world.waits(1, 1000, 1.0)
    assert world.pass_time(40, monkeypatch) == [1, 5]


def test_a_pool_keeps_to_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(8, Idle("a", {"max_workers": 2}), Idle("b", {"min_workers": 3}), Idle("c", workers=1))
    world.waits(0, 1000, 1.0)
    world.waits(2, 1000, 1.0)
    assert world.pass_time(60, monkeypatch) == [2, 3, 1]


def test_a_stage_that_is_held_back_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(8, Idle("a"), Idle("b"))
    world.blocked = {"a"}
    world.waits(0, 1000, 1.0)
    assert world.pass_time(20, monkeypatch)[0] <= 1


def test_stages_take_turns_on_one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(1, Idle("a"), Idle("b"))
    world.waits(0, 10, 1.0)
    assert world.pass_time(1, monkeypatch) == [1, 0]
    world.stages[0].queue.take(10)
    world.waits(1, 10, 1.0)
    assert world.pass_time(5, monkeypatch) == [0, 1]


def test_a_short_queue_is_no_reason_for_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(8, Idle("a"), Idle("b"))
    world.waits(0, 10, 0.001)
    assert world.pass_time(5, monkeypatch) == [1, 1]


@pytest.mark.parametrize(
    "greedy",
    [Idle("a", workers=2), Idle("a", {"min_workers": 4}), Idle("a", {"initial_workers": 8})],
    ids=["fixed", "min", "initial"],
)
@pytest.mark.parametrize("blocked", [False, True])
def test_what_a_stage_asks_for_never_takes_the_room_of_the_next_ones_only_worker(
    greedy: Idle, blocked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(2, greedy, Idle("b"))
    world.waits(0, 1000, 1.0)
    assert world.pass_time(5, monkeypatch) == [1, 1]
    world.waits(1, 1000, 1.0)
    if blocked:
        world.blocked = {"a"}
    assert world.pass_time(60, monkeypatch) == [1, 1]
    assert world.started == {"a": 1, "b": 1}


def test_a_stage_gets_the_rest_of_its_fixed_number_when_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(2, Idle("a"), Idle("b", workers=2))
    world.waits(1, 1000, 1.0)
    assert world.pass_time(5, monkeypatch) == [1, 1]
    world.stages[0].finished = True
    world._retire(world.stages[0].workers[0])
    assert world.pass_time(5, monkeypatch) == [0, 2]


def test_room_that_is_made_for_a_starved_stage_is_not_taken_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(2, Idle("a", workers=2), Idle("large", cpus=2), Idle("c", {"initial_workers": 2}))
    for stage in range(3):
        world.waits(stage, 1000, 1.0)
    turns = []
    for _ in range(60):
        turns.append(world.pass_time(1, monkeypatch)[1])
    assert max(turns) == 1


def test_only_workers_end_that_can_help_the_starved_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [Idle("a", cpus=0.5, gpus=1), Idle("b", cpus=0.5, gpus=1), Idle("idle", workers=2)]
    world = World(4, *stages, gpus=1)
    world.waits(0, 1000, 1.0)
    assert world.pass_time(1, monkeypatch) == [1, 0, 2]
    world.waits(1, 1000, 1.0)
    world.blocked = {"a"}
    assert world.pass_time(5, monkeypatch) == [0, 1, 2]
    assert world.started == {"a": 1, "b": 1, "idle": 2}


def test_no_worker_ends_in_vain_where_a_gpu_is_taken_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(4, Idle("model", cpus=1, gpus=1), Idle("idle", workers=2), gpus=1)
    assert world.nodes.place(Need(0, 1)) == "n"
    world.waits(0, 10, 1.0)
    assert world.pass_time(20, monkeypatch) == [0, 2]
    assert world.started == {"idle": 2}


def test_stages_that_need_nothing_have_as_many_workers_as_there_are_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(3, Idle("a", cpus=0))
    world.waits(0, 10000, 1.0)
    assert world.pass_time(120, monkeypatch) == [3]
    world = World(0, Idle("a", workers=50, cpus=0))
    assert world.pass_time(5, monkeypatch) == [1]


def test_sizes_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="'a': initial_workers 4 of ray_stage_spec is above its max_workers 2"):
        World(8, Idle("a", {"initial_workers": 4, "max_workers": 2}))
    with pytest.raises(ValueError, match="'a': min_workers 3 of ray_stage_spec is above its max_workers 2"):
        World(8, Idle("a", {"min_workers": 3, "initial_workers": 1, "max_workers": 2}))
    with pytest.raises(ValueError, match="'a': unknown keys in ray_stage_spec: max_worker"):
        World(8, Idle("a", {"max_worker": 2}))
    assert World(8, Idle("a", {"is_actor_stage": True, "ray_num_cpus": 1})).stages[0].max_workers > 8  # Ray Data's


def test_a_stage_grows_while_one_that_does_not_fit_beside_it_has_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(4, Idle("a"), Idle("large", cpus=4))
    world.waits(0, 1000, 1.0)
    assert world.pass_time(10, monkeypatch) == [4, 0]
    world.waits(1, 1000, 1.0)
    assert 1 in [world.pass_time(1, monkeypatch)[1] for _ in range(20)]


def test_no_worker_ends_besides_those_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [Idle("a", cpus=1, gpus=1), Idle("b", cpus=1, gpus=1), Idle("idle", workers=2)]
    world = World(3, *stages, gpus=1)
    world.waits(0, 1000, 1.0)
    assert world.pass_time(1, monkeypatch) == [1, 0, 2]
    world.waits(1, 1000, 1.0)
    world.blocked = {"a"}
    assert world.pass_time(5, monkeypatch) == [0, 1, 2]
    assert world.started["idle"] == 2
