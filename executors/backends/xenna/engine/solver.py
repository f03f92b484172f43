"""The engine's solver, asked only when a plan is due, and followed only where the plan is worth it.

The engine asks it at its start and every `autoscale_interval_s`, and does what it says. The one that is made here is
asked every second, and says that nothing is to change until `Plans` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

ASK_S = 1.0
"""Seconds between the engine's questions."""


@dataclass(frozen=True)
class StageChange:
    """What a plan does to one stage."""

    added: int
    removed: int
    nodes: frozenset[str] = frozenset()
    """Where the new workers are to be."""


class Plans(Protocol):
    """When to plan, and what of it is done; called from a thread of the engine."""

    def due(self) -> bool:
        """Whether to look for a better plan now."""

    def accepts(self, changes: Sequence[StageChange]) -> bool:
        """Whether this plan is to be followed."""

    def slots(self) -> Sequence[int]:
        """Tasks that a worker of each stage holds at once, at present."""


@dataclass(frozen=True)
class _Stage:
    """A stage of a solution, as the engine reads it."""

    slots_per_worker: int
    new_workers: tuple[Any, ...] = ()
    deleted_workers: tuple[Any, ...] = ()


@dataclass(frozen=True)
class _Solution:
    stages: list[_Stage]


class DueSolver:
    """Stands between the engine and its solver."""

    def __init__(self, solver: Any, plans: Plans) -> None:
        self._solver = solver
        self._plans = plans

    def setup(self, problem: Any) -> None:
        self._solver.setup(problem)

    def update_with_measurements(self, time: float, measurements: Any) -> None:
        self._solver.update_with_measurements(time, measurements)

    def autoscale(self, time: float, problem_state: Any) -> Any:
        """The engine's own solution, or one without changes."""
        if self._plans.due():
            stages = self._solver.autoscale(time, problem_state).stages
            # Read once: each look at these attributes copies all workers.
            found = [
                _Stage(stage.slots_per_worker, tuple(stage.new_workers), tuple(stage.deleted_workers))
                for stage in stages
            ]
            if self._plans.accepts([_change(stage) for stage in found]):
                return _Solution(found)
        return _Solution([_Stage(slots) for slots in self._plans.slots()])


def due_solver(original: Callable[..., Any], plans: Plans) -> Callable[..., DueSolver]:
    """What the engine makes its solver by."""

    def make(*args: Any, **kwargs: Any) -> DueSolver:
        return DueSolver(original(*args, **kwargs), plans)

    return make


def _change(stage: _Stage) -> StageChange:
    nodes = frozenset(str(place.node) for worker in stage.new_workers for place in worker.resources)
    return StageChange(len(stage.new_workers), len(stage.deleted_workers), nodes)
