from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.executors import ProcessingStage
from curator_slurm.executors.requested_workers import fixed_workers, workers_per_node


class Idle(ProcessingStage[Any, Any]):
    name = "idle"

    def process(self, task: Any) -> Any:
        return task


@pytest.mark.parametrize(
    ("changes", "workers"),
    [
        ({}, None),
        ({"num_workers": 3}, 3),
        ({"num_workers": None}, None),
        ({"num_workers_per_node": 2}, 8),
        ({"num_workers_per_node": 0.4}, 2),
        ({"num_workers_per_node": 0.01}, 1),
        ({"num_workers_per_node": None}, None),
        ({"num_workers": None, "num_workers_per_node": 1}, 4),
    ],
)
def test_workers_on_four_nodes(changes: dict[str, Any], workers: int | None) -> None:
    assert fixed_workers(Idle().with_(**changes), lambda: 4) == workers


def test_objects_without_the_methods() -> None:
    assert fixed_workers(object(), lambda: 4) is None
    assert workers_per_node(object()) is None


def test_nodes_are_only_counted_where_it_matters() -> None:
    def count() -> int:
        raise AssertionError

    assert fixed_workers(Idle().with_(num_workers=2), count) == 2


@pytest.mark.parametrize("value", [0, -1, True, "2", float("inf"), float("nan")])
def test_what_is_no_number_of_workers(value: Any) -> None:
    with pytest.raises(ValueError, match="num_workers_per_node must be a number above 0"):
        Idle().with_(num_workers_per_node=value)


def test_both_ways_at_once() -> None:
    with pytest.raises(ValueError, match="not both"):
        Idle().with_(num_workers=2).with_(num_workers_per_node=1)


@pytest.mark.parametrize("name", ["num_workers", "num_workers_per_node"])
def test_both_must_be_methods(name: str) -> None:
    with pytest.raises(TypeError, match=f"override {name}"):
        type("Wrong", (Idle,), {name: 2})


def test_every_executor_heeds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three nodes, three workers for two of them."""
    from curator_slurm.executors.adapter.adapter import StageAdapter
    from curator_slurm.executors.backends.ray_actor_pool import stage_state
    from curator_slurm.executors.backends.ray_data import operators
    from curator_slurm.executors.backends.xenna.options import parse_stage

    for module in (stage_state, operators):
        monkeypatch.setattr(module, "alive_nodes", lambda: {"a", "b", "c"})
    stage = Idle().with_(num_workers_per_node=1.5)
    assert stage_state.StageState(0, StageAdapter(stage)).fixed == 5
    (plan,) = operators.plan_operators([StageAdapter(stage)])
    assert plan.workers.fixed == 5
    assert parse_stage(stage).workers(nodes=3) == 5
