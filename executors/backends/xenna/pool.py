"""The engine's pool of workers, made to lose nothing.

`RunPool` replaces the engine's own pool for the length of one run. It adds what no version of the engine does: a worker
that dies costs no task, a task that kills every worker is found and given up, workers are limited and asked for their
teardown, and what a batch did is reported to the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import ray
from loguru import logger

from curator_slurm.executors.adapter.deadline import TEARDOWN_S
from curator_slurm.executors.backends.xenna.chunks import Report, chosen
from curator_slurm.executors.backends.xenna.engine.actor_pool import EnginePool, EngineResult, EngineTask, ReadyWorker
from curator_slurm.executors.backends.xenna.gpus import on_node
from curator_slurm.executors.backends.xenna.queue import SizedTask
from curator_slurm.executors.backends.xenna.worker_process import TeardownRequest
from curator_slurm.executors.ray_connection import alive_nodes
from curator_slurm.executors.run.blame import RerunDecision, check_start_up, deaths_after, decide_rerun
from curator_slurm.executors.run.ray_errors import WORKER_DIED, worker_cannot_start
from curator_slurm.executors.task_failures import FailurePolicy, WorkerLostError


class RunContext(Protocol):
    """What a pool needs to know of its run."""

    offset: int

    def policy(self, stage: int) -> FailurePolicy: ...

    def add_pool(self, pool: RunPool) -> int: ...
    def worker_limit(self, stage: int) -> int | None: ...
    def more_batches(self, stage: int, batch_size: int, waiting: int) -> int: ...
    def on_report(self, stage: int, report: Report, chunks: Sequence[Any]) -> None: ...
    def on_round(self) -> None: ...
    def is_closed(self, stage: int) -> bool: ...
    def on_dropped(self) -> None: ...
    def on_node_prepared(self, stage: int, node_id: str) -> None: ...
    def on_worker_lost(self, stage: int, node_id: str, error: BaseException) -> None: ...
    def on_given_up(self, stage: int, refs: list[Any], error: BaseException, deaths: int) -> None: ...


class SuspectTask(EngineTask):
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


class RunPool(EnginePool):
    """Workers of one stage of one run."""

    def __init__(
        self,
        *args: Any,
        run: RunContext,
        features: frozenset[str],
        sizes: dict[Any, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, features=features, **kwargs)
        self._run = run
        self._sizes = sizes
        self._start_up_deaths = 0
        self._dead: set[str] = set()
        self.stopped = False
        """Whether the stage is done."""
        self.start_s = 0.0
        """The shortest time that a worker took from its start until it was ready."""
        self._stage_index = run.add_pool(self)

    @property
    def _stage_name(self) -> str:
        """The name that the user gave, without the engine's number."""
        return str(self.name).partition(" - ")[2] or str(self.name)

    # ---- how many workers, and where ----------------------------------------------------------------

    def admits_worker(self) -> bool:
        """Up to the limit of the stage."""
        limit = self._run.worker_limit(self._stage_index)
        return limit is None or self.worker_count < limit

    def admits_task(self) -> bool:
        """Nothing where the stage begins nothing any more."""
        if not self._run.is_closed(self._stage_index):
            return True
        self._run.on_dropped()
        return False

    def worker_ready(self, seconds: float) -> None:
        """The first ones take longer: all processes start at once."""
        self.start_s = min(self.start_s or seconds, seconds)

    def starting_worker(self, node_id: str) -> AbstractContextManager[None]:
        """The runtime environment of the worker takes the node's GPU names."""
        return on_node(node_id)

    # ---- results -------------------------------------------------------------------------------------

    def check_result(self, worker: ReadyWorker, ref: Any) -> bool:
        """A worker's death shows here, before anything of a half-delivered result is used."""
        try:
            ray.get(ref)
        except WORKER_DIED as error:
            self.recover(worker.group, error)
            return False
        return True

    def take_result(self, worker: ReadyWorker, result: EngineResult) -> bool:
        """Take the report off the result and tell the run."""
        first, *refs = result.refs
        report: Report = ray.get(first)
        result.replace(lambda node_id: SizedTask(refs, node_id, report.sizes))
        if self._sizes is not None:
            self._sizes.update(zip(refs, report.sizes, strict=True))
        result.measure(sum(report.sizes), report.batches)
        self._run.on_report(self._stage_index, report, refs)
        if report.failed and self.replaces_after_failure:
            self._replace(worker.group)
            return True
        return False

    # ---- workers that die ----------------------------------------------------------------------------

    def recover(self, group_id: str, error: BaseException) -> None:
        """Run the tasks of a dead worker again and replace the worker."""
        if not self.has_group(group_id):
            return
        node_id = self.node_of(group_id)
        self._run.on_worker_lost(self._stage_index, node_id, error)
        self._dead.update(self.members(group_id))
        held = self.take_tasks(group_id)
        node_lost = node_id not in alive_nodes()
        for task in held:
            if node_lost:
                self.queue_first(task)  # not the task's fault
            else:
                self._run_again(task, error, blamed=len(held) == 1)
        self._replace(group_id)

    def _run_again(self, task: Any, error: BaseException, *, blamed: bool) -> None:
        """Queue what a dead worker held; `blamed`: it held nothing else."""
        refs, node_id, deaths = task.task_data, task.origin_node_id, getattr(task, "deaths", 0)
        if not blamed:
            self.queue_first(SuspectTask(refs, node_id, deaths))
            return
        tasks, size = ray.get(_count.remote(*refs)), self.batch_size
        if tasks > size:  # several batches, of which any may be to blame
            for ref, count in self._parts(refs, tasks, size):
                self.queue_first(SuspectTask([ref], node_id, deaths_after(count, 0, alone=False)))
            return
        deaths = deaths_after(tasks, deaths, alone=True)
        decision = decide_rerun(tasks, deaths, self._run.policy(self._stage_index))
        if decision is RerunDecision.GIVE_UP:
            self._run.on_given_up(self._stage_index, refs, error, deaths)
        elif decision is RerunDecision.DIVIDE:
            for ref, _ in self._parts(refs, tasks, 1):
                self.queue_first(SuspectTask([ref], node_id, 0))
        else:
            self.queue_first(SuspectTask(refs, node_id, deaths))

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
        node_id = self.node_of(group_id)
        plan = self.remove_group(group_id)
        if node_id in alive_nodes():
            self.start_again(plan)
            return
        logger.warning(f"node {node_id} is gone; {self.name} continues with its other workers")
        if not self.worker_count:
            raise WorkerLostError(f"stage {self._stage_name!r} has lost its last worker with the node")

    def died_in_setup(self, call: Any, group_id: str) -> bool:
        """Whether a worker died in this call, and has been replaced.

        Raises:
            WorkerLostError: it cannot be started at all, or too many have died like this in a row.
        """
        try:
            ray.get(call)
        except WORKER_DIED as error:
            if worker_cannot_start(error):
                raise WorkerLostError(f"no worker of stage {self._stage_name!r} can be started: {error}") from None
            node_id = self.node_of(group_id)
            self._start_up_deaths += node_id in alive_nodes()
            check_start_up(self._stage_name, self._start_up_deaths, str(error))
            self._run.on_worker_lost(self._stage_index, node_id, error)
            self._replace(group_id)
            return True
        except Exception:
            return False  # raised by the stage: the engine turns it into the pipeline's failure
        self._start_up_deaths = 0
        return False

    def node_prepared(self, node_id: str) -> None:
        """`setup_on_node` has been called there."""
        self._run.on_node_prepared(self._stage_index, node_id)

    # ---- suspects run alone --------------------------------------------------------------------------

    def may_take(self, worker: ReadyWorker, task: Any) -> bool:
        """A suspect needs an idle worker, and a worker that has one gets nothing else."""
        held = [entry.task for entry in worker.held]
        return not held or not any(isinstance(other, SuspectTask) for other in (task, *held))

    def update(self) -> None:
        """One round of the engine's loop."""
        if self._run.is_closed(self._stage_index) and self.forget_waiting():
            self._run.on_dropped()
        super().update()
        self._run.on_round()

    # ---- work stealing -------------------------------------------------------------------------------

    def steal_failed(self, error: RuntimeError) -> bool:
        """A donor that dies while it is asked shows in its results; that is no reason to end the run."""
        return isinstance(error.__cause__, WORKER_DIED)

    # ---- the end -------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let idle workers clean up, then end all of them at once."""
        self.stopped = True
        self._request_teardown([worker for worker in self.ready_workers if worker.is_idle])
        self.kill_all()

    def before_removal(self, worker: ReadyWorker) -> None:
        """The engine takes a worker away: one that is idle may clean up first."""
        if worker.is_idle and worker.id not in self._dead:
            self._request_teardown([worker])

    def _request_teardown(self, workers: list[ReadyWorker]) -> None:
        """Have ``teardown`` of the stage called in each worker's own processing thread."""
        if not workers or not self.can_call:
            return
        request = ray.put(TeardownRequest())
        calls = [self.call_with(worker, request) for worker in workers]
        _, late = ray.wait(calls, num_returns=len(calls), timeout=TEARDOWN_S)
        if late:
            logger.warning(f"{self.name}: {len(late)} worker(s) did not finish teardown() within {TEARDOWN_S:g} s")
