"""Parts of the engine that a run replaces, without a run."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from cosmos_xenna.pipelines.private import batch, monitoring, streaming
from cosmos_xenna.ray_utils import actor_pool, cluster
from cosmos_xenna.utils import gpu
from xenna_stages import Step

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.xenna import worker_process
from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.backends.xenna.engine.patches import AnyGpuName, Replacements, replaced_parts
from curator_slurm.executors.backends.xenna.worker_process import Place, Requests, XennaStage
from curator_slurm.executors.private_names import PrivateNames

ALL = names.NAMES.supported()
PARTS = Replacements("pool", "queue", "grouping", "describe")  # type: ignore[arg-type]


def engine() -> list[Any]:
    return [
        actor_pool.ActorPool,
        streaming.Queue,
        batch.grouping,
        cluster.make_cluster_resources_from_ray_nodes,
        monitoring.RayResourceMonitor,
        monitoring.NodeResourceMonitor,
        monitoring.get_ray_actors,
    ]


@pytest.mark.parametrize("resource_monitor", [False, True])
def test_parts_are_replaced_and_put_back(resource_monitor: bool) -> None:
    before = engine()
    with replaced_parts(PARTS, ALL, resource_monitor=resource_monitor):
        assert engine()[:4] == ["pool", "queue", "grouping", "describe"]
        changed = [new is not old for new, old in zip(engine(), before, strict=True)][4:]
        assert changed == ([True, True, False] if resource_monitor else [True, False, True])
    assert engine() == before


def test_parts_are_put_back_after_an_error() -> None:
    before = engine()
    with pytest.raises(KeyError), replaced_parts(PARTS, ALL, resource_monitor=False):
        raise KeyError
    assert engine() == before


def test_parts_are_put_back_where_one_cannot_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine()[:4]
    monkeypatch.delattr(monitoring, "get_ray_actors")
    with pytest.raises(AttributeError), replaced_parts(PARTS, ALL, resource_monitor=False):
        pass
    monkeypatch.undo()
    assert engine()[:4] == before
    with replaced_parts(Replacements(), ALL, resource_monitor=False):
        pass  # another run may begin


def test_nothing_is_replaced_where_nothing_is_supported() -> None:
    before = engine()
    with replaced_parts(Replacements(), frozenset(), resource_monitor=False):
        assert engine() == before


def test_two_runs_at_once_are_an_error() -> None:
    with (
        replaced_parts(Replacements(), ALL, resource_monitor=False),
        pytest.raises(RuntimeError, match="one pipeline after the other"),
        replaced_parts(Replacements(), ALL, resource_monitor=False),
    ):
        pass


def test_gpus_of_any_name_are_counted_until_it_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a/0,MIG-a/1")
    original = gpu.get_num_gpus
    names_of_any_kind = AnyGpuName()
    assert gpu.get_num_gpus() == 2
    names_of_any_kind.undo()
    names_of_any_kind.undo()
    assert gpu.get_num_gpus is original


def test_gpus_are_counted_by_the_engine_where_its_check_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    original = gpu.get_num_gpus
    monkeypatch.setattr(PrivateNames, "supports", lambda *_: False)
    AnyGpuName().undo()
    assert gpu.get_num_gpus is original


def test_a_worker_puts_the_engines_check_back_before_setup_of_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("cosmos_xenna.utils.gpu")
    original = module.get_num_gpus
    found: list[bool] = []

    class Look(Step):
        def setup(self, worker_metadata: Any = None) -> None:
            found.append(module.get_num_gpus is original)

    monkeypatch.setattr(worker_process, "is_worker_process", lambda: True)
    monkeypatch.setattr(worker_process, "end_with_ray", lambda: None)
    stage = XennaStage(StageAdapter(Look("look")), Requests("look", 1.0, 0.0, 1), None, None, place=Place())
    stage.__setstate__(dict(vars(stage)))
    assert module.get_num_gpus is not original
    metadata = type("Metadata", (), {"worker_id": "w", "allocation": None})()
    stage.setup(metadata)
    assert found == [True]
