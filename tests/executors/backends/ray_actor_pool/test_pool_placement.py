"""What stages of the actor pool ask for is made to fit the nodes."""

from __future__ import annotations

from typing import Any

import pytest
from xenna_stages import Step

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.placement import fit_stages
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState
from curator_slurm.executors.task_failures import DoesNotFitError


def node(name: str, cpus: float, gpus: float = 0.0, alive: bool = True) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}}


def stage(cpus: float = 1.0, gpus: float = 0.0, workers: int | None = None) -> StageState:
    made = Step("model", cpus=cpus, gpus=gpus)
    return StageState(0, StageAdapter(made.with_(num_workers=workers) if workers else made))


def test_requests_shrink_to_the_largest_node() -> None:
    greedy = stage(cpus=16, workers=5)
    fit_stages([greedy], Nodes(lambda: [node("a", 2), node("b", 4)]))
    assert (greedy.need.cpus, greedy.fixed) == (4, 1)


def test_gpus_that_no_node_has_are_refused() -> None:
    with pytest.raises(DoesNotFitError, match="no node has that"):
        fit_stages([stage(gpus=1)], Nodes(lambda: [node("a", 2)]))
