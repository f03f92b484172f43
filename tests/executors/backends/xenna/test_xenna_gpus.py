"""Names of GPUs: what a worker may see is part of what its node was given."""

from __future__ import annotations

import pytest

from curator_slurm.executors.backends.xenna.engine.cluster import describe_nodes
from curator_slurm.executors.backends.xenna.gpus import (
    CUDA,
    StageRuntimeEnv,
    gpu_indices,
    gpu_names,
    numbered,
    on_node,
)

UUIDS = ["GPU-11111111-2222-3333-4444-555555555555", "GPU-21111111-2222-3333-4444-555555555555"]


@pytest.mark.parametrize(
    ("visible", "count", "names"),
    [
        (None, 2, ["0", "1"]),
        ("2,3", 2, ["2", "3"]),
        (" 2, 3 ", 1, ["2"]),
        (",".join(UUIDS), 2, UUIDS),
        ("", 2, []),
    ],
)
def test_names_come_from_the_node(visible: str | None, count: int, names: list[str]) -> None:
    assert gpu_names(visible, count) == names


def test_numbers_stay_and_other_names_are_counted() -> None:
    assert gpu_indices(["2", "3"]) == [2, 3]
    assert gpu_indices(UUIDS) == [0, 1]
    assert gpu_indices(["0", "4711"]) == [0, 1]  # the engine keeps an index in one byte


def test_gpus_of_two_nodes_are_different_gpus() -> None:
    described = describe_nodes({"a": 1.0, "b": 1.0}, {node: numbered(["0"]) for node in "ab"})
    (first,), (second,) = (described.nodes[node].gpus for node in "ab")
    assert first.index == second.index == 0
    assert first.uuid_ != second.uuid_


def test_a_worker_gets_the_names_of_its_node() -> None:
    env = StageRuntimeEnv(None, {"a": ["2", "3"], "b": UUIDS})
    env.extra_env_vars = {CUDA: "1"}
    with on_node("b"):
        assert env.to_ray_runtime_env()["env_vars"][CUDA] == UUIDS[1]
    env.extra_env_vars = {CUDA: "2,3"}
    with on_node("a"):
        assert env.to_ray_runtime_env()["env_vars"][CUDA] == "2,3"


def test_a_worker_without_gpu_sees_none() -> None:
    env = StageRuntimeEnv(None, {"a": ["2"]})
    env.extra_env_vars = {CUDA: ""}
    with on_node("a"):
        variables = env.to_ray_runtime_env()["env_vars"]
    assert variables[CUDA] == ""
    assert variables["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] == "1"


def test_a_stages_own_environment_is_kept() -> None:
    env = StageRuntimeEnv({"env_vars": {"A": "secret"}, "working_dir": None}, {})
    assert env.extra_env_vars == {"A": "secret"}
    assert env.to_ray_runtime_env()["env_vars"] == {"A": "secret"}
    assert "secret" not in env.format()


def test_nothing_wanted_means_a_plain_worker() -> None:
    assert dict(StageRuntimeEnv(None, {}).to_ray_runtime_env()) == {}


def test_a_stages_own_choice_of_gpu_wins() -> None:
    env = StageRuntimeEnv({"env_vars": {CUDA: "7"}}, {"a": ["2", "3"]})
    with on_node("a"):
        assert env.to_ray_runtime_env()["env_vars"][CUDA] == "7"
