"""Nodes for the operators of Ray Data, which come and go."""

from __future__ import annotations

from typing import Any

import pytest
from xenna_stages import Step

from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.executors import Resources
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_data.operators import plan_operators
from curator_slurm.executors.backends.ray_data.placement import Placement
from curator_slurm.executors.task_failures import DoesNotFitError, WorkerLostError

HEAD = "node:__internal_head__"


def node(name: str, cpus: float, gpus: float = 0.0, *, head: bool = False) -> dict[str, Any]:
    return {"NodeID": name, "Alive": True, "Resources": {"CPU": cpus, "GPU": gpus, **({HEAD: 1.0} if head else {})}}


def place(nodes: list[dict[str, Any]], *, ignore_head_node: bool = False) -> Placement:
    """For a stage without GPU and one with."""
    plans = plan_operators([StageAdapter(Step("first")), StageAdapter(Step("model", gpus=1.0))])
    return Placement(plans, ignore_head_node=ignore_head_node, list_nodes=lambda: nodes)


def test_what_no_node_can_hold_is_refused_at_the_start() -> None:
    place([node("a", 2, head=True), node("b", 2, gpus=1)], ignore_head_node=True).check()
    with pytest.raises(DoesNotFitError, match=r"stage 'model' needs 1 CPU and 1 GPU\b"):
        place([node("a", 2, head=True), node("b", 2)]).check()
    with pytest.raises(DoesNotFitError, match="ignore_head_node is set"):
        place([node("a", 2, gpus=1, head=True)], ignore_head_node=True).check()


def test_an_unfinished_stage_without_a_node_ends_the_run_after_some_patience() -> None:
    nodes = [node("a", 2), node("b", 2, gpus=1)]
    kept = place(nodes)
    nodes[1]["Alive"] = False
    kept.give_up({0, 1}, now=1000.0)
    kept.give_up({0, 1}, now=1050.0)
    with pytest.raises(WorkerLostError, match=r"'model' has lost the last node .*1 GPU\b"):
        kept.give_up({0, 1}, now=1100.0)
    kept.give_up({0}, now=1200.0)


def test_a_node_in_its_place_begins_the_wait_anew() -> None:
    nodes = [node("a", 2), node("b", 2, gpus=1)]
    kept = place(nodes)
    lost = nodes.pop()
    kept.give_up({0, 1}, now=1000.0)
    nodes.append(lost)
    kept.give_up({0, 1}, now=1050.0)
    nodes.pop()
    kept.give_up({0, 1}, now=1100.0)


def test_workers_of_a_group_are_selected_by_its_label() -> None:
    nodes = [node("a", 2, head=True), node("b", 4), node("c", 1, gpus=1)]
    for each, group in zip(nodes[1:], ("cpu", "gpu"), strict=True):
        each["Labels"] = {GROUP_LABEL: group}
    bound = Step("bound").with_(resources=Resources(cpus=2.0, group="gpu"))
    plans = plan_operators([StageAdapter(Step("first")), StageAdapter(bound), StageAdapter(Step("last"))])
    assert [plan.name for plan in plans] == ["first", "bound", "last"], "stages of two groups share no worker"
    kept = Placement(plans, ignore_head_node=True, list_nodes=lambda: nodes)
    kept.check()
    assert kept.selector(plans[0]) == {"ray.io/node-id": "!a"}
    assert kept.selector(plans[1]) == {"ray.io/node-id": "!a", GROUP_LABEL: "gpu"}
    assert kept.cpus_of(plans[1]) == 1.0, "no more CPUs than the largest node of the group has"
    assert [kept.holds(each, plans[1]) for each in kept.nodes] == [False, True]
    plain = Placement(plans, ignore_head_node=False, list_nodes=lambda: [node("a", 8)])
    assert plain.selector(plans[1]) is None
    plain.check()
