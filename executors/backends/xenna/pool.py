"""The engine's pool of workers, made to lose nothing.

`RunPool` replaces ``cosmos_xenna.ray_utils.actor_pool.ActorPool`` for the length of one run. It adds what
no version of the engine does: a worker that dies costs no task, a task that kills every worker is found
and given up, workers are limited and asked for their teardown, and what a batch did is reported to the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import ray
from cosmos_xenna.ray_utils import actor_pool, stage_worker
from loguru import logger

from curator_slurm.executors.backends.xenna.chunks import Report, chosen
from curator_slurm.executors.backends.xenna.gpus import on_node
from curator_slurm.executors.backends.xenna.queue import SizedTask
from curator_slurm.executors.backends.xenna.worker_process import TeardownRequest
from curator_slurm.executors.ray_connection import alive_nodes
from curator_slurm.executors.run.blame import RerunDecision, check_start_up, deaths_after, decide_rerun
from curator_slurm.executors.run.ray_errors import WORKER_DIED, worker_cannot_start
from curator_slurm.executors.task_failures import FailurePolicy, WorkerLostError

TEARDOWN_S = 30.0
"""How long `teardown` of a stage may take."""


class RunContext(Protocol):
    """What a pool needs to know of its run."""

    offset: int

    def policy(self, stage: int) -> FailurePolicy: ...

    def add_pool(self, pool: RunPool) -> int: ...
    def worker_limit(self, stage: int) -> int | None: ...
    def more_batches(self, stage: int, batch_size: int, waiting: int) -> int: ...
    def on_report(self, stage: int, report: Report, chunks: Sequence[Any]) -> None: ...
    def on_round(self) -> None: ...
    def on_node_prepared(self, stage: int, node_id: str) -> None: ...
    def on_worker_lost(self, stage: int, node_id: str, error: BaseException) -> None: ...
    def on_given_up(self, stage: int, refs: list[Any], error: BaseException, deaths: int) -> None: ...


class SuspectTask(actor_pool.Task):  # type: ignore[misc]
    """Tasks whose worker died. They have a worker to themselves from now on, so that the deadly task is found."""

    def __init__(self, refs: list[Any], node_id: str | None, deaths: int) -> None:
        super().__init__(refs, node_id)
        self.deaths = deaths


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _count(*objects: Any) -> int:
    return len(chosen(objects))


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _split(size: int, *objects: Any) -> Any:
    chunk = chosen(objects)
    parts = [chunk.slice(start, start + size) for start in range(0, len(chunk), size)]
    return parts if len(parts) > 1 else parts[0]


class RunPool(actor_pool.ActorPool):  # type: ignore[misc]
    """Workers of one stage of one run."""

    def __init__(self, *args: Any, run: RunContext, sizes: dict[Any, int] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._run = run
        self._sizes = sizes
        self._start_up_deaths = 0
        self._dead: set[str] = set()
        self._looking_for_idle = False
        self._stage_index = run.add_pool(self)

    @property
    def _stage_name(self) -> str:
        """The name that the user gave, without the engine's number."""
        return str(self.name).partition(" - ")[2] or str(self.name)

    # ---- how many workers, and where ----------------------------------------------------------------

    def add_actor_to_create(self, worker: Any) -> None:
        """Take on a worker the engine planned, up to the limit of the stage."""
        limit = self._run.worker_limit(self._stage_index)
        if limit is not None and len(self._worker_groups) + len(self._worker_groups_to_create) >= limit:
            return
        super().add_actor_to_create(worker)

    def _create_actor_for_worker_group(
        self, worker_group: Any, allocation: Any, index: int | None, world_size: int | None
    ) -> None:
        with on_node(allocation.node):
            super()._create_actor_for_worker_group(worker_group, allocation, index, world_size)

    # ---- results -------------------------------------------------------------------------------------

    def _process_completed_task(self, actor: Any, slot_num: int, is_primary: bool, **kwargs: Any) -> bool:
        slot = actor.slots[slot_num]
        if not slot.has_task:  # the worker group was recovered a moment ago
            return False
        try:
            # A worker's death shows here, before anything of a half-delivered result is used.
            ray.get(slot.get_task.object_ref.completed())
        except WORKER_DIED as error:
            self._recover(actor.metadata.worker_group_id, error)
            return False
        finished = len(self._completed_tasks)
        restart = bool(super()._process_completed_task(actor, slot_num, is_primary, **kwargs))
        if len(self._completed_tasks) == finished:
            return restart
        report = self._open_result()
        if report.failed and self._params.restart_workers_on_failure:
            self._replace(actor.metadata.worker_group_id)
            return False
        return restart

    def _open_result(self) -> Report:
        """Take the report off the newest result and tell the run."""
        result = self._completed_tasks.pop()
        report: Report = ray.get(result.task_data[0])
        refs = result.task_data[1:]
        self._completed_tasks.append(SizedTask(refs, result.origin_node_id, report.sizes))
        if self._sizes is not None:
            self._sizes.update(zip(refs, report.sizes, strict=True))
        # The autoscaler's estimate of fan-out counts tasks, not the objects they travel in.
        measured = self._task_result_metadatas[-1]
        measured.num_returns = round(sum(report.sizes) / report.batches)
        timing = measured.timing  # and its estimate of speed is one of batches, not of calls
        duration = timing.process_end_time_s - timing.process_start_time_s
        timing.process_start_time_s = timing.process_end_time_s - duration / report.batches
        self._run.on_report(self._stage_index, report, refs)
        return report

    # ---- workers that die ----------------------------------------------------------------------------

    def _handle_actor_death(self, wg_id: str, exc: BaseException, **_: Any) -> None:
        """Newer engines recover by themselves, but drop a task after three deaths: this replaces it."""
        self._recover(wg_id, exc)

    def _recover(self, group_id: str, error: BaseException) -> None:
        """Run the tasks of a dead worker again and replace the worker."""
        group = self._worker_groups.get(group_id)
        if group is None:
            return
        node_id = group.worker_group.allocations[0].node
        self._run.on_worker_lost(self._stage_index, node_id, error)
        held = self._take_tasks(group)
        self._dead.update(group.actors)
        node_lost = node_id not in alive_nodes()
        for task in held:
            if node_lost:
                self._task_queue.appendleft(task)  # not the task's fault
            else:
                self._run_again(task, error, blamed=len(held) == 1)
        self._replace(group_id)

    def _take_tasks(self, group: Any) -> list[Any]:
        """The distinct tasks that the workers of a group held, removed from their slots."""
        tasks: dict[int, Any] = {}
        for actor_id in group.actors:
            actor = self._ready_actors.get(actor_id)
            for slot in actor.slots if actor else ():
                if slot.has_task:
                    task = slot.get_task.task
                    tasks[id(task)] = task
                    slot.clear_task()
        return list(tasks.values())

    def _run_again(self, task: Any, error: BaseException, *, blamed: bool) -> None:
        """Queue what a dead worker held; `blamed`: it held nothing else."""
        refs, node_id, deaths = task.task_data, task.origin_node_id, getattr(task, "deaths", 0)
        if not blamed:
            self._task_queue.appendleft(SuspectTask(refs, node_id, deaths))
            return
        tasks, size = ray.get(_count.remote(*refs)), self._params.stage_batch_size
        if tasks > size:  # several batches, of which any may be to blame
            for ref, count in self._parts(refs, tasks, size):
                self._task_queue.appendleft(SuspectTask([ref], node_id, deaths_after(count, 0, alone=False)))
            return
        deaths = deaths_after(tasks, deaths, alone=True)
        decision = decide_rerun(tasks, deaths, self._run.policy(self._stage_index))
        if decision is RerunDecision.GIVE_UP:
            self._run.on_given_up(self._stage_index, refs, error, deaths)
        elif decision is RerunDecision.DIVIDE:
            for ref, _ in self._parts(refs, tasks, 1):
                self._task_queue.appendleft(SuspectTask([ref], node_id, 0))
        else:
            self._task_queue.appendleft(SuspectTask(refs, node_id, deaths))

    @staticmethod
    def _parts(refs: list[Any], tasks: int, size: int) -> list[tuple[Any, int]]:
        """Tasks in chunks of at most `size`, last ones first, and how many each chunk holds.

        The driver owns the chunks: what a worker puts into the object store dies with it.
        """
        starts = range(0, tasks, size)
        made = _split.options(num_returns=len(starts)).remote(size, *refs)
        chunks = made if len(starts) > 1 else [made]
        return [(chunk, min(size, tasks - start)) for chunk, start in zip(chunks, starts, strict=True)][::-1]

    def _replace(self, group_id: str) -> None:
        """Start a worker in place of one that is gone, on its node or, if that is gone too, on another."""
        planned = self._delete_worker_group(group_id)
        if planned.allocations[0].node in alive_nodes():
            self._worker_groups_to_create.append(planned)
            return
        logger.warning(f"node {planned.allocations[0].node} is gone; {self.name} continues with its other workers")
        if not self._worker_groups and not self._worker_groups_to_create:
            raise WorkerLostError(f"stage {self._stage_name!r} has lost its last worker with the node")

    def _move_pending_actor_to_ready_or_handle_failure(self, actor_id: str) -> None:
        pending = self._pending_actors[actor_id]
        if self._died_in_setup(pending.setup_call_ref, pending.metadata.worker_group_id):
            return
        super()._move_pending_actor_to_ready_or_handle_failure(actor_id)

    def _move_pending_node_actor_to_pending(self, node_id: str) -> None:
        pending = self._pending_node_actors[node_id]
        if self._died_in_setup(pending.node_setup_call_ref, pending.metadata.worker_group_id):
            return
        super()._move_pending_node_actor_to_pending(node_id)
        if node_id in self._nodes_with_completed_setups:
            self._run.on_node_prepared(self._stage_index, node_id)

    def _died_in_setup(self, call: Any, group_id: str) -> bool:
        try:
            ray.get(call)
        except WORKER_DIED as error:
            if worker_cannot_start(error):
                raise WorkerLostError(f"no worker of stage {self._stage_name!r} can be started: {error}") from None
            node_id = self._worker_groups[group_id].worker_group.allocations[0].node
            self._start_up_deaths += node_id in alive_nodes()
            check_start_up(self._stage_name, self._start_up_deaths, str(error))
            self._run.on_worker_lost(self._stage_index, node_id, error)
            self._replace(group_id)
            return True
        except Exception:
            return False  # raised by the stage: the engine turns it into the pipeline's failure
        self._start_up_deaths = 0
        return False

    # ---- suspects run alone --------------------------------------------------------------------------

    def _pick_worker_group_for_task(self, task: Any) -> str | None:
        self._looking_for_idle = isinstance(task, SuspectTask)
        try:
            picked: str | None = super()._pick_worker_group_for_task(task)
            return picked
        finally:
            self._looking_for_idle = False

    def _find_worker_groups_with_free_slots(self) -> list[Any]:
        return [group for group in super()._find_worker_groups_with_free_slots() if self._may_take_more(group)]

    def _may_take_more(self, group: Any) -> bool:
        for actor_id in group.actors:
            held = [slot.get_task.task for slot in self._ready_actors[actor_id].slots if slot.has_task]
            if held and (self._looking_for_idle or any(isinstance(task, SuspectTask) for task in held)):
                return False
        return True

    def update(self) -> None:
        """One round of the engine's loop."""
        super().update()
        self._run.on_round()

    # ---- work stealing -------------------------------------------------------------------------------

    def _attempt_steal_one_task(self, donor: Any, receiver: Any) -> bool:
        """A donor that dies while it is asked shows in its results; that is no reason to end the run."""
        try:
            return bool(super()._attempt_steal_one_task(donor, receiver))
        except RuntimeError as error:
            if isinstance(error.__cause__, WORKER_DIED):
                return False
            raise

    # ---- the end -------------------------------------------------------------------------------------

    def actors(self) -> list[Any]:
        """Handles of all workers, ready or not."""
        waiting = [actor for actors in self._actors_waiting_for_node_setup.values() for actor in actors]
        return [
            entry.actor_ref
            for entry in (
                *self._ready_actors.values(),
                *self._pending_actors.values(),
                *self._pending_node_actors.values(),
                *waiting,
            )
        ]

    def stop(self) -> None:
        """Let idle workers clean up, then end all of them at once."""
        self._request_teardown([actor for actor in self._ready_actors.values() if not actor.num_used_slots])
        for handle in self.actors():
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

    def _try_delete_ready_actor(self, actor_id: str) -> bool:
        """The engine takes a worker away: one that is idle may clean up first."""
        actor = self._ready_actors.get(actor_id)
        if actor is not None and not actor.num_used_slots and actor_id not in self._dead:
            self._request_teardown([actor])
        return bool(super()._try_delete_ready_actor(actor_id))

    def _request_teardown(self, actors: list[Any]) -> None:
        """Have ``teardown`` of the stage called in each worker's own processing thread."""
        if not actors:
            return
        request = ray.put(TeardownRequest())
        calls = [actor.actor_ref.process_data.remote(stage_worker.TaskData([request])).completed() for actor in actors]
        _, late = ray.wait(calls, num_returns=len(calls), timeout=TEARDOWN_S)
        if late:
            logger.warning(f"{self.name}: {len(late)} worker(s) did not finish teardown() within {TEARDOWN_S:g} s")
