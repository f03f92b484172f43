"""Runs with a cosmos-xenna or Ray whose private names have changed: they complete, and the log says what is lost."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cosmos_xenna.pipelines.private import batch, monitoring, streaming
from cosmos_xenna.ray_utils import actor_pool, cluster
from cosmos_xenna.utils import gpu
from engines import asked, engines, in_full
from loguru import logger
from ray_runs import MARKS, Run, runner, values
from xenna_ray import TestRay
from xenna_stages import KeepEven, Kill, Raise, Step, Twice

from curator_slurm.executors import ray_internals
from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.private_names import PrivateName
from curator_slurm.executors.task_failures import StageError, TooManyFailedTasksError

pytestmark = MARKS


@pytest.fixture
def run(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
    return lambda backend: runner(backend, two_cpus, monkeypatch)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """What the log warns of, by either library that writes it."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), level="WARNING")
    with caplog.at_level(logging.WARNING):
        yield lambda: "\n".join([*said, *caplog.messages])
    logger.remove(sink)


def lose(monkeypatch: pytest.MonkeyPatch, holder: Any, *features: str) -> list[str]:
    """Let each of these features need a name that is not there; what is lost."""
    importlib.import_module(_MADE_OF_RAY)  # as Ray is: later tests in this process use it
    table = holder.NAMES
    gone = [
        PrivateName(key, f"{table.names[0].path.partition(':')[0]}:gone_for_{index}")
        for index, key in enumerate(features)
    ]
    monkeypatch.setattr(holder, "NAMES", replace(table, names=(*table.names, *gone)))
    return [feature.lost for feature in table.features if feature.key in features]


_MADE_OF_RAY = "curator_slurm.executors.backends.ray_data.placement"
"""It has a class that derives from a private one of Ray's, where there is one when it is imported."""
ENGINE_PARTS = [
    (actor_pool, "ActorPool"),
    (streaming, "Queue"),
    (batch, "grouping"),
    (cluster, "make_cluster_resources_from_ray_nodes"),
    (monitoring, "RayResourceMonitor"),
    (monitoring, "NodeResourceMonitor"),
    (monitoring, "get_ray_actors"),
    (gpu, "get_num_gpus"),
]


@pytest.fixture(autouse=True)
def everything_is_put_back() -> Iterator[None]:
    before = [getattr(module, name) for module, name in ENGINE_PARTS]
    yield
    assert [getattr(module, name) for module, name in ENGINE_PARTS] == before


def stages_of(cpus: float) -> list[Step]:
    return [Twice("twice", 1, cpus=cpus), KeepEven("even", 2, cpus=cpus), Step("c", 4, cpus=cpus)]


STAGES = stages_of(0.6)
"""They take what the engine sees of the CPUs, because workers in what is left would only cost time."""
ON_ONE_CPU = stages_of(0.3)
"""The same for the engine as it is, which counts whole CPUs of 95 % of each node: one of two."""
EXPECTED = sorted(value + more for value in range(0, 20, 2) for more in (0, 1000))


PARTS = [
    (names.WORKERS, "xenna"),
    (names.WORKERS, "xenna-batch"),
    (names.STREAMED_CHUNKS, "xenna"),
    (names.BATCHED_CHUNKS, "xenna-batch"),
    (names.CLUSTER, "xenna"),
    (names.CLUSTER, "xenna-batch"),
]


@pytest.mark.matrix
@pytest.mark.parametrize(("feature", "backend"), in_full(PARTS if asked(["xenna"]) else [], PARTS[0], *PARTS[2:5]))
def test_xenna_without_a_part_of_the_engine(
    feature: str,
    backend: str,
    run: Callable[[str], Run],
    warnings: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (lost,) = lose(monkeypatch, names, feature)
    outputs = run(backend)(ON_ONE_CPU if feature == names.CLUSTER else STAGES)
    assert values(outputs) == EXPECTED
    assert all(task._metadata["batches"]["even"] == 2 for task in outputs)
    assert lost in warnings()
    assert f"cosmos-xenna {names.NAMES.version()} " in warnings()


def test_xenna_without_anything_private(
    run: Callable[[str], Run], warnings: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = lose(monkeypatch, names, *(feature.key for feature in names.NAMES.features))
    # Not what ends worker processes: before cosmos-xenna 0.5.9, some would be left.
    lost += lose(monkeypatch, ray_internals, *ray_internals.CONNECTION, ray_internals.ACTOR_CLASS)
    outputs = run("xenna")([Step("a", 2, cpus=0.5), Step("b", cpus=0.5)], 6)
    assert values(outputs) == list(range(6))
    assert [text for text in lost if text not in warnings()] == []


def test_xenna_with_renamed_parameters(
    run: Callable[[str], Run], warnings: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pick = actor_pool.ActorPool._pick_worker_group_for_task
    monkeypatch.setattr(actor_pool.ActorPool, "_pick_worker_group_for_task", lambda self, work: pick(self, work))
    assert values(run("xenna")(STAGES)) == EXPECTED
    assert "ActorPool._pick_worker_group_for_task takes (work) instead of (task)" in warnings()
    assert "a worker that dies fails the run" in warnings()


def test_failed_tasks_are_skipped_on_the_engine_as_it_is(
    run: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, names, names.WORKERS)
    assert values(run("xenna")([Raise("picky")], on_task_error="skip")) == [n for n in range(20) if n != 7]
    with pytest.raises(StageError, match="seven is not allowed"):
        run("xenna")([Raise("picky")])
    with pytest.raises(TooManyFailedTasksError):
        run("xenna")([Raise("picky")], on_task_error="skip", max_failed_tasks=0)


def test_a_killed_worker_does_not_lose_tasks_silently_on_the_engine_as_it_is(
    run: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(monkeypatch, names, names.WORKERS)
    with pytest.raises(Exception, match=r"died|dead|gave|Died"):
        run("xenna")([Kill("deadly", None)])


def test_parts_are_put_back_after_an_error(run: Callable[[str], Run]) -> None:
    with pytest.raises(StageError):
        run("xenna")([Raise("picky")], resource_monitor=True)


@engines("ray_data", of=("ray_data", "ray_actor_pool"))
def test_other_back_ends_without_anything_private_of_ray(
    backend: str, run: Callable[[str], Run], warnings: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    features = [*ray_internals.CONNECTION, *([ray_internals.DATA_STEPS] if backend == "ray_data" else [])]
    lost = lose(monkeypatch, ray_internals, *features)
    assert values(run(backend)(STAGES)) == EXPECTED
    assert [text for text in lost if text not in warnings()] == []
    assert f"ray {ray_internals.NAMES.version()} " in warnings()


def test_nodes_are_listed_by_a_driver_where_the_client_has_changed(
    two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in two_cpus.env.items():
        monkeypatch.setenv(name, value)
    address = two_cpus.env["RAY_ADDRESS"]
    listed = ray_internals.node_lister(address)(5.0)
    lose(monkeypatch, ray_internals, ray_internals.NODE_LIST)
    assert ray_internals.node_lister(address)(5.0) == listed == {address.partition(":")[0]}
