"""The engine's solver on each group of nodes by itself, with the stages that are bound to it.

The engine describes its problem once for all nodes, and its solver may put a worker of any stage on any of them. Here
the problem remembers what it was made of, and the solver is one for each group. Workers are numbered by each solver, so
that their ids get the group in front.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

_PRIVATE = "cosmos_xenna.pipelines.private"


@dataclass(frozen=True)
class Groups:
    """Node id -> group, and name of a stage -> group."""

    nodes: Mapping[str, str]
    stages: Mapping[str, str]

    def part(self, cluster: Any, group: str) -> Any:
        """The engine's description of the nodes of one group."""
        resources = import_module(f"{_PRIVATE}.resources")
        own = {name: node for name, node in cluster.nodes.items() if self.nodes.get(name) == group}
        return resources.ClusterResources(own)


class GroupedProblem:
    """Stands for the engine's `Problem`: of stages of one group it is that of the group's nodes."""

    def __init__(self, groups: Groups, original: Callable[..., Any], cluster: Any, stages: Sequence[Any]) -> None:
        self.cluster, self.stages, self.original = cluster, list(stages), original
        self.of_stage = [groups.stages[str(stage.rust.name)] for stage in stages]
        self._groups = groups

    def part(self, group: str) -> Any:
        """The engine's problem of one group."""
        own = [stage for stage, of in zip(self.stages, self.of_stage, strict=True) if of == group]
        return self.original(self._groups.part(self.cluster, group), own)

    @property
    def rust(self) -> Any:
        """What the engine's solver is given of it in batch mode, where each stage is a problem of its own."""
        (group,) = set(self.of_stage)
        return self.part(group).rust


def grouped_problem(original: Callable[..., Any], groups: Groups) -> Callable[..., GroupedProblem]:
    """What the engine makes its problems by."""

    def make(cluster_resources: Any, stages: Sequence[Any]) -> GroupedProblem:
        return GroupedProblem(groups, original, cluster_resources, stages)

    return make


@dataclass(frozen=True)
class _Part:
    """What a solver is given: the engine's object of the stages of its group."""

    rust: Any


@dataclass(frozen=True)
class _StageSolution:
    slots_per_worker: int
    new_workers: list[Any]
    deleted_workers: list[Any]


@dataclass(frozen=True)
class _Solution:
    stages: list[_StageSolution]


class GroupedSolver:
    """One of the engine's solvers for each group, as one of them."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._solvers: dict[str, Any] = {}
        self._own: dict[str, list[int]] = {}
        self._count = 0

    def setup(self, problem: GroupedProblem) -> None:
        self._count = len(problem.stages)
        for group in dict.fromkeys(problem.of_stage):
            self._own[group] = [index for index, of in enumerate(problem.of_stage) if of == group]
            self._solvers[group] = self._make()
            self._solvers[group].setup(problem.part(group))

    def update_with_measurements(self, time: float, measurements: Any) -> None:
        whole = measurements.rust
        stages = list(whole.stages)
        for group, solver in self._solvers.items():
            part = type(whole)(whole.time, [stages[index] for index in self._own[group]])
            solver.update_with_measurements(time, _Part(part))

    def autoscale(self, time: float, problem_state: Any) -> Any:
        whole = problem_state.rust
        states = list(whole.stages)
        found: dict[int, _StageSolution] = {}
        for group, solver in self._solvers.items():
            part = type(whole)([states[index] for index in self._own[group]])
            solution = solver.autoscale(time, _Part(part))
            for index, stage in zip(self._own[group], solution.stages, strict=True):
                new = [_renamed(worker, group) for worker in stage.new_workers]
                found[index] = _StageSolution(stage.slots_per_worker, new, list(stage.deleted_workers))
        return _Solution([found[index] for index in range(self._count)])


def grouped_solver(original: Callable[..., Any]) -> Callable[..., GroupedSolver]:
    """What the engine makes its solver by."""

    def make(*args: Any, **kwargs: Any) -> GroupedSolver:
        return GroupedSolver(lambda: original(*args, **kwargs))

    return make


def _renamed(worker: Any, group: str) -> Any:
    """A worker under an id that no other solver gives."""
    structures = import_module(f"{_PRIVATE}.data_structures")
    return structures.ProblemWorkerGroupState.make(f"{group}-{worker.id}", worker.resources)
