"""The engine's pool of workers, with public names for what a pool of ours needs of it.

Import this only where the engine supports `names.WORKERS`. Each override of a private method hands over to a hook with
a public name, or to the engine where the feature that needs it is off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import ray
from cosmos_xenna.ray_utils import actor_pool, stage_worker

from curator_slurm.executors.backends.xenna.engine import names


class EngineTask(actor_pool.Task):  # type: ignore[misc]
    """What one call of a worker gets: references to objects, and the node that most of them are on."""


@dataclass(frozen=True)
class HeldTask:
    """A task that a worker has been given, and since when."""

    task: Any
    scheduled: float


class ReadyWorker:
    """A worker that has been set up."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    @property
    def id(self) -> str:
        return str(self._actor.metadata.worker_id)

    @property
    def group(self) -> str:
        """The worker group that it is in."""
        return str(self._actor.metadata.worker_group_id)

    @property
    def handle(self) -> Any:
        """Ray's handle of its actor."""
        return self._actor.actor_ref

    @property
    def is_idle(self) -> bool:
        return not self._actor.num_used_slots

    @property
    def held(self) -> list[HeldTask]:
        """What it works on and what waits for it."""
        slots = [slot.get_task for slot in self._actor.slots if slot.has_task]
        return [HeldTask(slot.task, slot.scheduled_time) for slot in slots]


class EnginePool(actor_pool.ActorPool):  # type: ignore[misc]
    """Workers of one stage; derive from it and override the hooks."""

    def __init__(self, *args: Any, features: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._features = features
        self._started: dict[str, float] = {}
        self._task_to_place: Any = None

    # ---- hooks -----------------------------------------------------------------------------------------

    def admits_worker(self) -> bool:
        """Whether one more worker may be started."""
        return True

    def admits_task(self) -> bool:
        """Whether the engine may give the pool one more task; else it is dropped."""
        return True

    def starting_worker(self, node_id: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Around the start of a worker on a node."""
        return nullcontext()

    def worker_ready(self, seconds: float) -> None:
        """A worker has been set up, so long after its start."""

    def check_result(self, worker: ReadyWorker, ref: Any) -> bool:
        """Before a result is taken, which is complete when `ref` is; False if the worker is gone, and replaced."""
        raise NotImplementedError

    def take_result(self, worker: ReadyWorker, result: EngineResult) -> bool:
        """A worker's result, before the engine passes it on; whether the worker is to be replaced."""
        raise NotImplementedError

    def recover(self, group_id: str, error: BaseException) -> None:
        """The workers of a group are dead."""
        raise NotImplementedError

    def died_in_setup(self, call: Any, group_id: str) -> bool:
        """Whether a worker died in this call of `setup` or `setup_on_node`, and has been replaced."""
        raise NotImplementedError

    def node_prepared(self, node_id: str) -> None:
        """`setup_on_node` has been called there."""

    def may_take(self, worker: ReadyWorker, task: Any) -> bool:  # noqa: ARG002
        """Whether a worker with a free slot is to get this task."""
        return True

    def before_removal(self, worker: ReadyWorker) -> None:
        """The engine is about to end a worker."""

    def steal_failed(self, error: RuntimeError) -> bool:  # noqa: ARG002
        """Whether an error while a task was taken away from a worker can be ignored."""
        return False

    # ---- what a pool may ask for and do ------------------------------------------------------------------

    @property
    def worker_count(self) -> int:
        """Workers that run or start, and those that are planned."""
        return len(self._worker_groups) + len(self._worker_groups_to_create)

    @property
    def ready_count(self) -> int:
        return int(self.num_ready_actors)

    @property
    def starting_count(self) -> int:
        """Workers that are planned, or have not been set up."""
        return max(0, self.worker_count - self.ready_count)

    @property
    def slots(self) -> int:
        """Calls that a worker holds at once."""
        return int(self.slots_per_actor)

    @property
    def batch_size(self) -> int:
        return int(self._params.stage_batch_size)

    @property
    def replaces_after_failure(self) -> bool:
        """Whether a worker is to be replaced after an exception of its stage."""
        return bool(self._params.restart_workers_on_failure)

    @property
    def ready_workers(self) -> list[ReadyWorker]:
        return [ReadyWorker(actor) for actor in self._ready_actors.values()]

    def has_group(self, group_id: str) -> bool:
        return group_id in self._worker_groups

    def members(self, group_id: str) -> set[str]:
        """The ids of a group's workers."""
        return set(self._worker_groups[group_id].actors)

    def node_of(self, group_id: str) -> str:
        return str(self._worker_groups[group_id].worker_group.allocations[0].node)

    def queue_first(self, task: Any) -> None:
        """Have a task done before all that wait."""
        self._task_queue.appendleft(task)

    def forget_waiting(self) -> bool:
        """Drop the tasks that no worker has been given; whether there were any."""
        waiting = bool(self._task_queue)
        self._task_queue.clear()
        return waiting

    def take_tasks(self, group_id: str) -> list[Any]:
        """The distinct tasks that a group's workers hold, which are theirs no more."""
        tasks: dict[int, Any] = {}
        for worker_id in self._worker_groups[group_id].actors:
            actor = self._ready_actors.get(worker_id)
            for slot in actor.slots if actor else ():
                if slot.has_task:
                    task = slot.get_task.task
                    tasks[id(task)] = task
                    slot.clear_task()
        return list(tasks.values())

    def remove_group(self, group_id: str) -> Any:
        """End a group's workers; returns the plan that they were started by."""
        return self._delete_worker_group(group_id)

    def start_again(self, plan: Any) -> None:
        """Start workers by the plan of a group that was removed."""
        self._worker_groups_to_create.append(plan)

    def call_with(self, worker: ReadyWorker, ref: Any) -> Any:
        """Have a worker's stage process one object; a reference that is complete when it has."""
        return worker.handle.process_data.remote(stage_worker.TaskData([ref])).completed()

    @property
    def can_call(self) -> bool:
        """Whether `call_with` and `before_removal` are there in the installed version."""
        return names.TEARDOWN in self._features

    def kill_all(self) -> None:
        """End all workers at once, ready or not, and forget all work."""
        for handle in self._handles():
            ray.kill(handle)
        for group_id in list(self._worker_groups):
            group = self._worker_groups.pop(group_id)
            self._allocator.remove_worker(group.worker_group.id)
        for state in (
            self._ready_actors,
            self._pending_actors,
            self._pending_node_actors,
            self._actors_waiting_for_node_setup,
            self._nodes_with_completed_setups,
            self._worker_groups_to_create,
            self._worker_groups_to_delete,
            self._completed_tasks,
            self._task_queue,
        ):
            state.clear()

    def _handles(self) -> Iterator[Any]:
        waiting = [actor for actors in self._actors_waiting_for_node_setup.values() for actor in actors]
        for state in (self._ready_actors, self._pending_actors, self._pending_node_actors):
            yield from (actor.actor_ref for actor in state.values())
        yield from (actor.actor_ref for actor in waiting)

    # ---- the engine's methods ------------------------------------------------------------------------------

    def add_task(self, *args: Any, **kwargs: Any) -> None:
        if self.admits_task():
            super().add_task(*args, **kwargs)

    def add_actor_to_create(self, *args: Any, **kwargs: Any) -> None:
        if names.LIMITS not in self._features or self.admits_worker():
            super().add_actor_to_create(*args, **kwargs)

    def add_actor_to_delete(self, worker: Any) -> None:
        """One that has died since the plan was made is gone already."""
        if self.has_group(worker.id):
            super().add_actor_to_delete(worker)

    def _create_actor_for_worker_group(self, worker_group: Any, *args: Any, **kwargs: Any) -> None:
        self._started[worker_group.worker_group.id] = time.monotonic()
        if names.GPU_NAMES not in self._features:
            super()._create_actor_for_worker_group(worker_group, *args, **kwargs)
            return
        allocation = args[0] if args else kwargs["allocation"]
        with self.starting_worker(allocation.node):
            super()._create_actor_for_worker_group(worker_group, *args, **kwargs)

    def _process_completed_task(self, actor: Any, slot_num: int, is_primary: bool, **kwargs: Any) -> bool:
        slot = actor.slots[slot_num]
        worker = ReadyWorker(actor)
        # The slot is empty if the worker group was recovered a moment ago.
        if not slot.has_task or not self.check_result(worker, slot.get_task.object_ref.completed()):
            return False
        finished = len(self._completed_tasks)
        restart = bool(super()._process_completed_task(actor, slot_num, is_primary, **kwargs))
        if len(self._completed_tasks) == finished:
            return restart
        if self.take_result(worker, EngineResult(self._completed_tasks, self._task_result_metadatas[-1])):
            return False
        return restart

    def _handle_actor_death(self, wg_id: str, exc: BaseException, **_: Any) -> None:
        """Newer engines recover by themselves, but drop a task after three deaths: use our way instead."""
        self.recover(wg_id, exc)

    def _move_pending_actor_to_ready_or_handle_failure(self, actor_id: str) -> None:
        pending = self._pending_actors[actor_id]
        group_id = pending.metadata.worker_group_id
        if self.died_in_setup(pending.setup_call_ref, group_id):
            return
        super()._move_pending_actor_to_ready_or_handle_failure(actor_id)
        started = self._started.pop(group_id, None)
        if started is not None and actor_id in self._ready_actors:
            self.worker_ready(time.monotonic() - started)

    def _move_pending_node_actor_to_pending(self, node_id: str) -> None:
        pending = self._pending_node_actors[node_id]
        if self.died_in_setup(pending.node_setup_call_ref, pending.metadata.worker_group_id):
            return
        super()._move_pending_node_actor_to_pending(node_id)
        if node_id in self._nodes_with_completed_setups:
            self.node_prepared(node_id)

    def _pick_worker_group_for_task(self, task: Any) -> str | None:
        self._task_to_place = task
        try:
            picked: str | None = super()._pick_worker_group_for_task(task)
            return picked
        finally:
            self._task_to_place = None

    def _find_worker_groups_with_free_slots(self) -> list[Any]:
        """Those that are idle, if there are any: the engine would let a task wait where its data is."""
        free: list[Any] = super()._find_worker_groups_with_free_slots()
        able = [
            group
            for group in free
            if all(self.may_take(ReadyWorker(self._ready_actors[i]), self._task_to_place) for i in group.actors)
        ]
        idle = [group for group in able if not any(self._ready_actors[i].num_used_slots for i in group.actors)]
        return idle or able

    def _attempt_steal_one_task(self, *args: Any, **kwargs: Any) -> bool:
        try:
            return bool(super()._attempt_steal_one_task(*args, **kwargs))
        except RuntimeError as error:
            if names.STEALING in self._features and self.steal_failed(error):
                return False
            raise

    def _try_delete_ready_actor(self, *args: Any, **kwargs: Any) -> bool:
        if self.can_call:
            actor = self._ready_actors.get(args[0] if args else kwargs["actor_id"])
            if actor is not None:
                self.before_removal(ReadyWorker(actor))
        return bool(super()._try_delete_ready_actor(*args, **kwargs))


class EngineResult:
    """The newest result of a pool, which may be replaced, and how the engine has measured it."""

    def __init__(self, completed: Any, measured: Any) -> None:
        self._completed = completed
        self._measured = measured

    @property
    def refs(self) -> list[Any]:
        return list(self._completed[-1].task_data)

    def replace(self, make: Callable[[str | None], Any]) -> None:
        """Put ``make(node id)`` in its place."""
        result = self._completed.pop()
        self._completed.append(make(result.origin_node_id))

    def measure(self, tasks: int, batches: int) -> None:
        """Correct the measurement: the autoscaler's estimates are of tasks, not objects, and of batches, not calls."""
        self._measured.num_returns = round(tasks / batches)
        timing = self._measured.timing
        duration = timing.process_end_time_s - timing.process_start_time_s
        timing.process_start_time_s = timing.process_end_time_s - duration / batches
