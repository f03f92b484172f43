"""Which nodes can hold the workers of a stage: the rule that all back ends share."""

from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.executors.backend_registry import make_executor
from curator_slurm.executors.known_options import BACKENDS
from curator_slurm.executors.run import placement
from curator_slurm.executors.run.placement import (
    NODE_PATIENCE_S,
    ClusterNode,
    Need,
    NodePatience,
    NodeWait,
    check_fits,
    count_nodes,
    head_node_id,
    lost_last_node,
    placed_at_start,
    shrunk,
    usable_nodes,
)
from curator_slurm.executors.task_failures import DoesNotFitError, WorkerLostError

CPU_NODE, GPU_NODE = ClusterNode("a", 4), ClusterNode("b", 2, 1)
ON_GPU = {0: ("model", Need(1, 1))}


def listed(name: str, *, alive: bool = True, head: bool = False, **resources: float) -> dict[str, Any]:
    mark = {"node:__internal_head__": 1} if head else {}
    return {"NodeID": name, "Alive": alive, "Resources": {**resources, **mark}}


def test_dead_nodes_are_not_used_and_the_head_is_where_it_may_be() -> None:
    nodes = [listed("head", head=True, CPU=8), listed("worker", CPU=4, GPU=2), listed("dead", alive=False)]
    assert usable_nodes(nodes, ignore_head_node=False) == [ClusterNode("head", 8), ClusterNode("worker", 4, 2)]
    assert usable_nodes(nodes, ignore_head_node=True) == [ClusterNode("worker", 4, 2)]
    assert head_node_id(nodes) == "head"
    assert head_node_id(nodes[1:]) is None


def test_cpus_are_shrunk_to_the_largest_node_with_the_gpus_and_gpus_never() -> None:
    assert shrunk(Need(8, 0), [CPU_NODE, GPU_NODE]) == Need(4, 0)
    assert shrunk(Need(8, 1), [CPU_NODE, GPU_NODE]) == Need(2, 1)
    assert shrunk(Need(8, 2), [CPU_NODE, GPU_NODE]) == Need(8, 2)
    assert shrunk(Need(1, 0), [CPU_NODE]) == Need(1, 0)


def test_what_no_node_can_hold_is_refused_at_the_start() -> None:
    check_fits("model", Need(2, 1), [CPU_NODE, GPU_NODE])
    with pytest.raises(DoesNotFitError, match=r"'model' needs 1 CPU and 2 GPUs per worker, .* has that; nodes: 4"):
        check_fits("model", Need(1, 2), [CPU_NODE, GPU_NODE])
    with pytest.raises(DoesNotFitError, match="ignore_head_node is set"):
        check_fits("model", Need(1, 0), [])


def test_the_error_names_the_stage_its_need_and_the_nodes() -> None:
    assert lost_last_node("model", Need(1, 1), [CPU_NODE, GPU_NODE]) is None
    words = r"'model' has lost the last node .* it needs 1 CPU and 1 GPU, nodes: 4 CPUs and 0 GPUs"
    with pytest.raises(WorkerLostError, match=words):
        raise lost_last_node("model", Need(1, 1), [CPU_NODE]) or AssertionError
    assert str(lost_last_node("model", Need(1, 1), [])).endswith("nodes: none")


def test_a_stage_without_a_node_waits_a_minute() -> None:
    wait = NodeWait()
    wait.check(ON_GPU, [CPU_NODE], 1000)
    wait.check(ON_GPU, [CPU_NODE], 1000 + NODE_PATIENCE_S)
    with pytest.raises(WorkerLostError, match="'model'"):
        wait.check(ON_GPU, [CPU_NODE], 1001 + NODE_PATIENCE_S)


def test_the_wait_can_be_chosen() -> None:
    wait = NodeWait(NodePatience(5.0))
    wait.check(ON_GPU, [CPU_NODE], 1000)
    wait.check(ON_GPU, [CPU_NODE], 1005)
    with pytest.raises(WorkerLostError, match="'model'"):
        wait.check(ON_GPU, [CPU_NODE], 1006)


@pytest.mark.parametrize(
    ("patience", "looks"), [(NodePatience(), 1), (NodePatience(0.0), 1), (NodePatience(10.0, 2.0), 6)]
)
def test_a_run_waits_at_its_start_only_where_that_is_chosen(
    monkeypatch: pytest.MonkeyPatch, patience: NodePatience, looks: int
) -> None:
    now, seen = [1000.0], []
    monkeypatch.setattr(placement.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(placement.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def place() -> None:
        seen.append(now[0])
        check_fits("model", Need(1, 1), [CPU_NODE])

    with pytest.raises(DoesNotFitError, match="'model'"):
        placed_at_start(place, patience)
    assert len(seen) == looks


@pytest.mark.parametrize(
    "config",
    [
        {"resource_wait_timeout_s": -1},
        {"resource_wait_timeout_s": "soon"},
        {"resource_wait_timeout_s": True},
        {"resource_wait_interval_s": 0},
        {"resource_wait_interval_s": None},
        {"resource_wait_interval_s": float("inf")},
    ],
)
@pytest.mark.filterwarnings("ignore::curator_slurm.executors.base.ExperimentalWarning")
@pytest.mark.parametrize("backend", list(BACKENDS))
def test_times_that_are_none_are_refused(backend: str, config: dict[str, object]) -> None:
    made = make_executor(backend, {"resource_wait_timeout_s": 300, "resource_wait_interval_s": 0.5})
    assert made.resource_wait == (300, 0.5)
    with pytest.raises(ValueError, match=next(iter(config))):
        make_executor(backend, config)


def test_a_node_that_joins_or_a_stage_that_ends_begins_the_wait_anew() -> None:
    wait = NodeWait()
    for now, needs, nodes in [
        (1000, ON_GPU, [CPU_NODE]),
        (1050, ON_GPU, [CPU_NODE, GPU_NODE]),
        (1055, ON_GPU, [CPU_NODE]),
        (1110, ON_GPU, [CPU_NODE]),
        (1112, {}, [CPU_NODE]),
        (1113, ON_GPU, [CPU_NODE]),
        (1170, ON_GPU, [CPU_NODE]),
    ]:
        wait.check(needs, nodes, now)


def test_groups_are_read_from_labels_and_bind_what_names_them() -> None:
    nodes = [{**listed("a", CPU=8), "Labels": {GROUP_LABEL: "cpu"}}, {**listed("b", CPU=4, GPU=1), "Labels": {}}]
    cpu, plain = usable_nodes(nodes, ignore_head_node=False)
    assert (cpu.group, plain.group) == ("cpu", None)
    assert [cpu.holds(Need(1, 0, group)) for group in ("cpu", None, "gpu")] == [True, True, False]
    assert plain.holds(Need(1, 1, "gpu")), "a node without group takes everything"
    assert count_nodes(nodes[:1], Need(1, 0, "gpu"), ignore_head_node=False) == 0
    assert shrunk(Need(8, 0, "gpu"), [cpu, ClusterNode("c", 2, 1, "gpu")]) == Need(2, 0, "gpu")
    with pytest.raises(DoesNotFitError, match=r"'model' asks for nodes of group 'gpu'.* groups: cpu"):
        check_fits("model", Need(1, 0, "gpu"), [cpu])
    with pytest.raises(DoesNotFitError, match=r"needs 1 CPU and 1 GPU in group cpu .* 8 CPUs and 0 GPUs in group cpu"):
        check_fits("model", Need(1, 1, "cpu"), [cpu])
