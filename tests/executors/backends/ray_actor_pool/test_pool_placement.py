"""Room for workers on the actor pool, where nodes come and go."""

from __future__ import annotations

import time
from typing import Any

import pytest
from xenna_stages import Step

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.room import check_nodes, fit_stages
from curator_slurm.executors.backends.ray_actor_pool.stage import StageState
from curator_slurm.executors.task_failures import ExecutorError, WorkerLostError


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
    with pytest.raises(ExecutorError, match="no node has that"):
        fit_stages([stage(gpus=1)], Nodes(lambda: [node("a", 2)]))


def test_a_stage_whose_last_node_has_gone_ends_the_round_after_some_patience() -> None:
    listed = [node("a", 2), node("b", 2, gpus=1)]
    nodes = Nodes(lambda: listed)
    starved = stage(gpus=1)
    fit_stages([starved], nodes)
    listed[1]["Alive"] = False
    nodes.refresh(force=True)
    starved.starved_since = time.monotonic() - 1
    check_nodes([starved], nodes)
    starved.starved_since = time.monotonic() - 3600
    with pytest.raises(WorkerLostError, match=r"'model' has lost the last node .*1 GPUs; nodes: 2 CPUs and 0 GPUs"):
        check_nodes([starved], nodes)
    listed.append(node("c", 2, gpus=1))
    nodes.refresh(force=True)
    check_nodes([starved], nodes)
