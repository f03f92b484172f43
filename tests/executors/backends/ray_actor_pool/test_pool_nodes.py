"""Where workers of the actor pool go."""

from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.run.placement import Need
from curator_slurm.executors.task_failures import DoesNotFitError


def ray_node(
    name: str, cpus: float, gpus: float = 0, *, head: bool = False, alive: bool = True, group: str | None = None
) -> dict[str, Any]:
    resources = {"CPU": cpus, **({"GPU": gpus} if gpus else {}), **({"node:__internal_head__": 1.0} if head else {})}
    return {"NodeID": name, "Alive": alive, "Resources": resources, "Labels": {GROUP_LABEL: group} if group else {}}


def placed(nodes: Nodes, need: Need) -> list[str]:
    found = []
    while (node := nodes.place(need)) is not None:
        found.append(node)
    return found


def test_workers_fill_the_node_with_the_most_room_first() -> None:
    nodes = Nodes(lambda: [ray_node("a", 2), ray_node("b", 4)])
    assert placed(nodes, Need(1, 0)) == ["b", "b", "a", "b", "a", "b"]
    assert nodes.capacity(Need(1, 0)) == 6
    nodes.give_back("a", Need(1, 0))
    assert placed(nodes, Need(1, 0)) == ["a"]


def test_the_head_node_can_be_left_alone() -> None:
    both = [ray_node("head", 8, head=True), ray_node("worker", 1)]
    assert placed(Nodes(lambda: both, ignore_head_node=True), Need(1, 0)) == ["worker"]


def test_reserved_cpus_and_gpus_are_left_free() -> None:
    nodes = Nodes(lambda: [ray_node("a", 2, 2), ray_node("b", 2, 2)], reserved_cpus=3, reserved_gpus=1)
    assert placed(nodes, Need(1, 0)) == ["b"]
    nodes = Nodes(lambda: [ray_node("a", 2, 2), ray_node("b", 2, 2)], reserved_gpus=1)
    assert sorted(placed(nodes, Need(0.1, 1))) == ["a", "b", "b"]


def test_a_reservation_of_all_cpus_is_refused_where_there_are_any() -> None:
    with pytest.raises(DoesNotFitError, match=r"reserved_cpus is 4, .* have 4 CPUs in all: nothing is left"):
        Nodes(lambda: [ray_node("a", 2), ray_node("b", 2)], reserved_cpus=4)
    assert placed(Nodes(lambda: [ray_node("a", 0, 1)], reserved_cpus=1), Need(0, 1)) == ["a"]


def test_room_is_left_for_others() -> None:
    nodes = Nodes(lambda: [ray_node("a", 3), ray_node("b", 1)])
    assert nodes.place(Need(1, 0), [Need(3, 0)]) == "b"
    assert nodes.place(Need(1, 0), [Need(3, 0)]) is None
    assert nodes.place(Need(1, 0), [Need(3, 1)]) == "a"  # no node could ever hold it
    nodes = Nodes(lambda: [ray_node("a", 3), ray_node("b", 4)])
    assert nodes.place(Need(1, 0), [Need(3, 0)]) == "b"
    assert [nodes.place(Need(1, 0), [Need(3, 0)]) for _ in range(3)] == ["a"] * 3  # b still has three
    assert nodes.place(Need(1, 0), [Need(3, 0)]) is None


def test_gpu_nodes_are_kept_for_those_who_need_them() -> None:
    nodes = Nodes(lambda: [ray_node("gpu", 8, 1), ray_node("cpu", 2)])
    assert placed(nodes, Need(1, 0))[:2] == ["cpu", "cpu"]


def test_nodes_that_come_are_used_and_nodes_that_die_are_not() -> None:
    there = [ray_node("a", 1)]
    nodes = Nodes(lambda: there)
    assert placed(nodes, Need(1, 0)) == ["a"]
    there[:] = [ray_node("a", 1, alive=False), ray_node("b", 1)]
    nodes.refresh(force=True)
    assert not nodes.is_alive("a")
    nodes.give_back("a", Need(1, 0))
    assert placed(nodes, Need(1, 0)) == ["b"]


def test_workers_that_name_a_group_are_on_its_nodes() -> None:
    nodes = Nodes(lambda: [ray_node("a", 2, group="cpu"), ray_node("b", 4, 1, group="gpu")])
    assert nodes.capacity(Need(1, 0, "cpu")) == nodes.capacity(Need(0, 0, "cpu")) == 2
    assert [nodes.count(Need(1, 0, group)) for group in ("cpu", "gpu", "none", None)] == [1, 1, 0, 2]
    assert placed(nodes, Need(1, 0, "gpu")) == ["b"] * 4
    assert placed(nodes, Need(1, 0)) == ["a"] * 2
