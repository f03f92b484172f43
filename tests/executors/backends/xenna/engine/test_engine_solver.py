"""The engine's own solver behind ours: what it plans is understood, and followed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosmos_xenna.pipelines.private import autoscaling_algorithms, data_structures, resources

from curator_slurm.executors.backends.xenna.engine.cluster import describe_nodes
from curator_slurm.executors.backends.xenna.engine.groups import Groups, grouped_problem, grouped_solver
from curator_slurm.executors.backends.xenna.engine.solver import StageChange, due_solver

NAMES = ["fast", "slow"]


class Followed:
    """Every plan is due and followed, until `refuses`."""

    def __init__(self) -> None:
        self.changes: list[StageChange] = []
        self.refuses = False

    def due(self) -> bool:
        return True

    def accepts(self, changes: Sequence[StageChange]) -> bool:
        self.changes = list(changes)
        return not self.refuses

    def slots(self) -> list[int]:
        return [2, 2]


def state(workers: list[list[Any]]) -> Any:
    stages = [
        data_structures.ProblemStageState(stage_name=name, workers=held, slots_per_worker=2, is_finished=False)
        for name, held in zip(NAMES, workers, strict=True)
    ]
    return data_structures.ProblemState(stages)


def measured(now: float, *seconds: float) -> Any:
    calls = [
        [data_structures.TaskMeasurement(start_time=now - each, end_time=now, num_returns=1) for _ in range(6)]
        for each in seconds
    ]
    return data_structures.Measurements(now, [data_structures.StageMeasurements(found) for found in calls])


def test_plans_of_the_engine_are_understood() -> None:
    described = describe_nodes({"a": 4.0, "b": 4.0}, {})
    shape = resources.Resources(cpus=1.0, gpus=0.0).to_worker_shape(described)
    plans = Followed()
    solver = due_solver(autoscaling_algorithms.FragmentationBasedAutoscaler, plans)(180.0, 5)
    stages = [data_structures.ProblemStage(name, 1, shape, None, None) for name in NAMES]
    solver.setup(data_structures.Problem(described, stages))

    first = solver.autoscale(0.0, state([[], []])).stages
    assert [change.added for change in plans.changes] == [4, 4]
    assert {node for change in plans.changes for node in change.nodes} == {"a", "b"}

    solver.update_with_measurements(10.0, measured(10.0, 0.05, 0.45))
    held = state([list(stage.new_workers) for stage in first])
    second = solver.autoscale(10.0, held).stages
    fast, slow = plans.changes
    assert fast.removed == slow.added > 0
    assert [len(stage.deleted_workers) for stage in second] == [fast.removed, 0]
    assert all(stage.slots_per_worker >= 2 for stage in second)

    plans.refuses = True
    third = solver.autoscale(10.0, held).stages
    assert [(len(stage.new_workers), len(stage.deleted_workers)) for stage in third] == [(0, 0), (0, 0)]


def test_each_group_of_nodes_has_a_solver_of_its_own() -> None:
    described = describe_nodes({"a": 4.0, "b": 4.0, "c": 2.0}, {})
    shape = resources.Resources(cpus=1.0, gpus=0.0).to_worker_shape(described)
    groups = Groups({"a": "one", "b": "one", "c": "two"}, dict(zip(NAMES, ("one", "two"), strict=True)))
    problem = grouped_problem(data_structures.Problem, groups)
    plans = Followed()
    solver = due_solver(grouped_solver(autoscaling_algorithms.FragmentationBasedAutoscaler), plans)(180.0, 5)
    stages = [data_structures.ProblemStage(name, 1, shape, None, None) for name in NAMES]
    solver.setup(problem(cluster_resources=described, stages=stages))
    first = solver.autoscale(0.0, state([[], []])).stages
    assert [change.added for change in plans.changes] == [8, 2]
    assert [change.nodes for change in plans.changes] == [{"a", "b"}, {"c"}]
    ids = [worker.id for stage in first for worker in stage.new_workers]
    assert len(set(ids)) == 10
    solver.update_with_measurements(10.0, measured(10.0, 0.1, 5.0))
    held = [list(stage.new_workers) for stage in first]
    again = solver.autoscale(20.0, state(held)).stages
    assert {worker.id for stage in again for worker in stage.deleted_workers} <= set(ids)
    assert problem(cluster_resources=described, stages=stages[1:]).rust is not None
