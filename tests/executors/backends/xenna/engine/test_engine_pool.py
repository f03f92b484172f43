"""The engine's pool with public names, without a Ray: who gets a task, how long a start takes, who is ended."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from cosmos_xenna.ray_utils import actor_pool

from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.backends.xenna.engine.actor_pool import EnginePool


class Pool(EnginePool):
    """Groups of one worker each, with these numbers of used slots of two."""

    def __init__(self, **used: int) -> None:
        self._features = names.NAMES.supported()
        self._started = {}
        self._task_to_place = None
        self.seconds: list[float] = []
        self._worker_groups_to_delete: Any = []
        self._ready_actors = {
            name: SimpleNamespace(num_used_slots=count, num_empty_slots=2 - count, slots=[])
            for name, count in used.items()
        }
        ready = actor_pool._WorkerGroupState.READY
        self._worker_groups = {
            name: SimpleNamespace(state=ready, actors={name}, node_id=name, id_=name, worker_group=None)
            for name in used
        }

    def worker_ready(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def died_in_setup(self, call: Any, group_id: str) -> bool:
        return False

    def free(self) -> list[str]:
        return [group.id_ for group in self._find_worker_groups_with_free_slots()]


@pytest.mark.parametrize(
    ("used", "free"),
    [
        ({"a": 1, "b": 0}, ["b"]),  # also if the data is on a
        ({"a": 1, "b": 1}, ["a", "b"]),
        ({"a": 2, "b": 1}, ["b"]),
        ({"a": 0, "b": 0}, ["a", "b"]),
        ({"a": 2}, []),
    ],
)
def test_a_task_goes_to_an_idle_worker_if_there_is_one(used: dict[str, int], free: list[str]) -> None:
    assert Pool(**used).free() == free


def test_a_worker_that_has_died_since_the_plan_was_made_is_not_ended_again() -> None:
    pool = Pool(a=0)
    for name in ("a", "gone"):
        pool.add_actor_to_delete(SimpleNamespace(id=name))
    assert [worker.id for worker in pool._worker_groups_to_delete] == ["a"]


def test_a_worker_that_is_ready_says_how_long_its_start_took(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(a=0)
    monkeypatch.setattr(actor_pool.ActorPool, "_create_actor_for_worker_group", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(actor_pool.ActorPool, "_move_pending_actor_to_ready_or_handle_failure", lambda *_args: None)
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    allocation = SimpleNamespace(node="n")
    group = SimpleNamespace(worker_group=SimpleNamespace(id="group"))
    pool._create_actor_for_worker_group(group, allocation, None, None)
    now = 112.5
    metadata = SimpleNamespace(worker_group_id="group")
    pool._pending_actors = {"a": SimpleNamespace(setup_call_ref=None, metadata=metadata)}
    pool._move_pending_actor_to_ready_or_handle_failure("a")
    assert pool.seconds == [12.5]
