"""The arithmetic that lets a pipeline run on any cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from xenna_stages import Step

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.xenna import XennaExecutor, placement
from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.backends.xenna.fit import Demand, fit, shrink_further
from curator_slurm.executors.backends.xenna.groups import with_groups
from curator_slurm.executors.backends.xenna.options import parse_stage
from curator_slurm.executors.run.placement import ClusterNode
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import DoesNotFitError


def demands(*cpus: float, gpus: float = 0.0) -> list[Demand]:
    return [Demand(f"s{index}", value, gpus) for index, value in enumerate(cpus)]


@pytest.mark.parametrize(
    ("nodes", "share", "counted"),
    [
        ([64, 10], 0.95, [61, 10]),  # 74 CPUs, 3.7 of which may be left out: whole ones, where most are
        ([4, 4, 4, 4], 0.95, [4, 4, 4, 4]),  # 0.8 of a CPU is none, on each node as on all
        ([4] * 10, 0.95, [3, 3, *[4] * 8]),
        ([4, 4, 4, 4], 0.5, [2, 2, 2, 2]),
        ([10], 0.9, [9]),
    ],
)
def test_the_share_of_cpus_is_of_the_cluster(nodes: list[float], share: float, counted: list[float]) -> None:
    found = fit([ClusterNode(str(i), cpus) for i, cpus in enumerate(nodes)], demands(1, 1, 1), share, together=True)
    assert list(found.node_cpus.values()) == counted
    assert found.stage_cpus == [1, 1, 1]
    assert not found.note


@pytest.mark.parametrize(
    ("stages", "workers"),
    [
        ([Demand("read", 1), Demand("model", 1, 1), Demand("write", 1)], [None, 8, None]),
        ([Demand("model", 1, 0.5)], [16]),
        ([Demand("one", 1, 1), Demand("two", 1, 1)], [None, None]),  # their speed decides
        ([Demand("model", 1, 1, workers=3, fixed=True)], [None]),
    ],
)
def test_a_stage_that_has_the_gpus_to_itself_gets_all_at_once(stages: list[Demand], workers: list[int | None]) -> None:
    nodes = [ClusterNode(str(index), 4, 2) for index in range(4)]
    assert fit(nodes, stages, 0.95, together=True).stage_workers == workers


def test_two_cpus_run_two_stages_without_scaling() -> None:
    found = fit([ClusterNode("a", 2)], demands(1, 1), 0.95, together=True)
    assert found.node_cpus == {"a": 2}
    assert found.stage_cpus == [1, 1]


def test_two_cpus_run_three_stages_by_time_sharing_and_say_so() -> None:
    found = fit([ClusterNode("a", 2)], demands(1, 1, 1), 0.95, together=True)
    assert found.stage_cpus == pytest.approx([0.666] * 3)
    assert "2 CPUs on 1 node, too few" in found.note
    assert "s0 1 -> 0.666" in found.note


def test_one_cpu_node() -> None:
    found = fit([ClusterNode("a", 1)], demands(1, 4, 1), 0.95, together=True)
    assert sum(found.stage_cpus) <= found.node_cpus["a"]
    assert found.stage_cpus[1] == pytest.approx(4 * found.stage_cpus[0], abs=0.01)


def test_a_cluster_without_cpus_still_runs() -> None:
    found = fit([ClusterNode("a", 0)], demands(1, 1), 0.95, together=True)
    assert sum(found.stage_cpus) <= found.node_cpus["a"]


def test_a_stage_larger_than_any_node_is_scaled_to_a_node() -> None:
    found = fit([ClusterNode("a", 4), ClusterNode("b", 4)], demands(8), 0.95, together=True)
    assert found.stage_cpus == [4]


def test_batch_mode_scales_only_the_stage_that_is_too_big() -> None:
    found = fit([ClusterNode("a", 2)], demands(1, 1, 4), 0.95, together=False)
    assert found.stage_cpus == [1, 1, 2]


def test_a_stage_that_asks_for_nothing_gets_a_little() -> None:
    assert fit([ClusterNode("a", 2)], demands(0, 0), 0.95, together=True).stage_cpus == [0.01, 0.01]


def test_gpu_stages_are_placed_where_gpus_are() -> None:
    nodes = [ClusterNode("cpu", 4), ClusterNode("gpu", 4, 2)]
    found = fit(nodes, [Demand("read", 1), Demand("model", 1, 1, workers=2)], 0.95, together=True)
    assert found.stage_cpus == [1, 1]
    assert found.stage_workers == [None, 2]


def test_gpus_do_not_stand_idle_for_lack_of_cpus() -> None:
    nodes = [ClusterNode("a", 2, 2), ClusterNode("b", 2, 2)]
    found = fit(nodes, [Demand("read", 1), Demand("model", 1, 1)], 0.95, together=True)
    assert found.stage_workers == [None, 4]
    assert found.stage_cpus[0] + 4 * found.stage_cpus[1] <= 4
    assert "share the CPUs" in found.note


def test_a_number_of_workers_chosen_by_the_user_stays() -> None:
    demands_ = [Demand("read", 1), Demand("model", 1, 1, workers=1, fixed=True)]
    found = fit([ClusterNode("a", 2, 2)], demands_, 0.95, together=True)
    assert found.stage_workers == [None, None]
    assert found.stage_cpus == [1, 1]


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Demand("model", 1, 4), "no node has that"),
        (Demand("model", 1, 1.5), "whole numbers"),
        (Demand("model", 1, 1, workers=5), "at the same time"),
    ],
)
def test_too_many_gpus_are_refused_with_the_cure(demand: Demand, words: str) -> None:
    with pytest.raises(DoesNotFitError, match=words):
        fit([ClusterNode("a", 8, 2), ClusterNode("b", 8, 2)], [demand], 0.95, together=True)


def test_gpu_stages_that_exclude_each_other_run_one_after_the_other() -> None:
    two = [Demand("a", 1, 1), Demand("b", 1, 1)]
    with pytest.raises(DoesNotFitError, match="execution_mode: batch"):
        fit([ClusterNode("a", 8, 1)], two, 0.95, together=True)
    assert fit([ClusterNode("a", 8, 1)], two, 0.95, together=False).stage_cpus == [1, 1]


def test_shrinking_further_keeps_the_node_counts() -> None:
    found = fit([ClusterNode("a", 2)], demands(1, 1, 1), 0.95, together=True)
    smaller = shrink_further(found, 0.5)
    assert smaller.node_cpus == found.node_cpus
    assert smaller.stage_cpus == [0.333] * 3


@pytest.mark.parametrize("features", [frozenset(), frozenset({names.CLUSTER})])
def test_a_gpu_that_no_node_has_is_refused_whatever_of_the_engine_can_be_used(
    features: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "usable_nodes", lambda _listed, **_kwargs: [ClusterNode("a", 4)])
    monkeypatch.setattr(placement.ray, "nodes", list)
    monkeypatch.setattr(placement, "probe_gpu_names", dict)
    stage = Step("model", gpus=1)
    with pytest.raises(DoesNotFitError, match=r"'model' needs 1 CPU and 1 GPU .* nodes: 4 CPUs and 0 GPUs"):
        XennaExecutor()._place([StageAdapter(stage)], [parse_stage(stage)], Sources(1, [stage]), features)


def test_a_stage_that_names_no_group_is_given_one_where_others_name_theirs() -> None:
    nodes = [ClusterNode("a", 4, 0, "small"), ClusterNode("b", 8, 0, "large"), ClusterNode("c", 64, 2, "gpu")]
    demands = [Demand("bound", 1, group="gpu"), Demand("model", 1, 1), Demand("plain", 1)]
    given, said = with_groups(demands, nodes)
    assert [demand.group for demand in given] == ["gpu", "gpu", "large"]
    assert said == ["model: gpu", "plain: large"]
    assert with_groups(demands[1:], nodes) == (demands[1:], [])
    many = [*nodes, *(ClusterNode(f"d{number}", 8, 1, "many") for number in range(3))]
    given, _ = with_groups([Demand("bound", 1, group="gpu"), Demand("two", 1, 2), Demand("one", 1, 0.5)], many)
    assert [demand.group for demand in given[1:]] == ["gpu", "many"], (
        "three GPUs on three nodes hold no worker with two"
    )
    bare = [replace(node, group=None) for node in nodes]
    assert [demand.group for demand in with_groups(demands, bare)[0]] == [None] * 3


def test_workers_are_counted_on_the_nodes_of_their_group() -> None:
    nodes = [ClusterNode("a", 2, 0, "cpu"), ClusterNode("b", 8, 1, "gpu")]
    found = fit(nodes, [Demand("one", 1, group="cpu"), Demand("two", 2, group="cpu")], 1.0, together=True)
    assert found.stage_cpus == [pytest.approx(0.666, abs=0.01), pytest.approx(1.333, abs=0.01)]
    with pytest.raises(DoesNotFitError, match="'model' needs 1 CPU and 1 GPU in group cpu"):
        fit(nodes, [Demand("model", 1, 1, group="cpu")], 1.0, together=True)
