"""What runs inside Ray Data's workers: blocks of pickled tasks in, through one or several stages, and out again.

Stages that need neither a worker of their own nor other resources than their neighbour run in one
operator, one after the other, so that tasks are not pickled between them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from curator_slurm.executors.adapter.adapter import BatchReport, NodeInfo, StageAdapter, WorkerMetadata, items_of
from curator_slurm.executors.backends.ray_data.ledger import RemoteLedger
from curator_slurm.executors.backends.ray_data.rows import to_table, to_tasks
from curator_slurm.executors.task_failures import FailedTaskRecord, StageError, TooManyFailedTasksError
from curator_slurm.executors.tasks import source_of

log = logging.getLogger(__name__)

_SLICE_BYTES = 8 << 20
_MAX_SETUP_DEATHS = 3
_NO_TRACEBACK = "The process ended without a traceback; Ray's logs of its node may say more."


@dataclass(frozen=True)
class Step:
    """One stage of an operator."""

    index: int
    adapter: StageAdapter


class Operator:
    """Some stages as one function over blocks; made anew in every worker, where it calls `setup`."""

    def __init__(self, steps: Sequence[Step], ledger: RemoteLedger, *, is_actor: bool) -> None:
        self._steps = steps
        self._ledger = ledger
        self._torn_down = True
        self._broken: StageError | None = None
        if is_actor:
            try:
                self.set_up()
                self._torn_down = False
            except StageError as error:
                self._broken = error  # raised by the first call: Ray hides what a constructor raises

    def set_up(self) -> None:
        """`setup` of all stages, and `setup_on_node` where this node joined after the run began."""
        context = ray.get_runtime_context()
        worker = WorkerMetadata(context.get_worker_id(), context.get_assigned_resources())
        actor_id = context.get_actor_id()
        for step in self._steps:
            key = (step.index, f"setup of {actor_id}")  # Ray starts an actor that has died again, for ever
            deaths = self._ledger.begin(key) if actor_id else 0
            if deaths >= _MAX_SETUP_DEATHS:
                reason = f"WorkerDied: its worker died {deaths} times in a row while starting"
                raise StageError(step.adapter.name, "setup", reason, _NO_TRACEBACK)
            if overrides(step.adapter.stage, "setup_on_node"):
                node_id = context.get_node_id()
                if not self._ledger.node_prepared(step.index, node_id):
                    step.adapter.setup_on_node(NodeInfo(node_id), worker)
            step.adapter.setup(worker)
            if actor_id:
                self._ledger.end(key, [])
        self._ledger.join([step.index for step in self._steps], str(worker.worker_id))

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """A block in slices of whole batches, small enough that what a slice grows to can be held."""
        if self._broken is not None:
            raise self._broken
        rows = slice_rows(table.num_rows, table.nbytes, self._steps[0].adapter.batch_size)
        for start in range(0, table.num_rows, rows):
            tasks = to_tasks(table.slice(start, rows))
            for step in self._steps:
                tasks = self._run(step, tasks)
            yield to_table(tasks)

    def tear_down(self) -> None:
        """`teardown` of all stages, once."""
        if not self._torn_down:
            self._torn_down = True
            for step in self._steps:
                try:
                    step.adapter.teardown()
                except StageError as error:  # the work is done
                    log.warning("%s", error)
            self._ledger.leave([step.index for step in self._steps], ray.get_runtime_context().get_worker_id())

    def __del__(self) -> None:
        """How Ray Data ends an actor's function."""
        with contextlib.suppress(Exception):
            self.tear_down()

    def _run(self, step: Step, tasks: list[Any]) -> list[Any]:
        """All tasks through one stage, batch by batch."""
        if not tasks:
            return []
        key = (step.index, _digest(tasks))
        outputs: list[Any] = []
        reports: list[BatchReport] = []
        watched = self._ledger.begin(key) > 0  # a worker has died at these tasks
        size = step.adapter.batch_size
        for start in range(0, len(tasks), size):
            batch = tasks[start : start + size]
            for done, report in self._run_watched(step, batch) if watched else [step.adapter.process(batch)]:
                outputs += done
                reports.append(report)
        if not self._ledger.end(key, reports):
            raise TooManyFailedTasksError(
                f"more tasks failed than max_failed_tasks allows; stage {step.adapter.name!r}"
            )
        return outputs

    def _run_watched(self, step: Step, batch: list[Any]) -> list[tuple[list[Any], BatchReport]]:
        """A batch whole, for a worker may have died of something else; task by task once it has died of this one."""
        key = (step.index, f"batch {_digest(batch)}")
        if len(batch) > 1 and not step.adapter.is_per_task and self._ledger.begin(key) == 0:
            result = step.adapter.process(batch)
            self._ledger.end(key, [])
            return [result]
        return [self._run_suspect(step, task) for task in batch]

    def _run_suspect(self, step: Step, task: Any) -> tuple[list[Any], BatchReport]:
        key = (step.index, f"suspect {task.task_id}")
        deaths = self._ledger.begin(key)
        policy = step.adapter.policy
        if deaths > policy.deaths_allowed:
            reason = f"WorkerDied: the worker process died {deaths} times at this task"
            if not policy.skips:
                raise StageError(step.adapter.name, f"process_batch of task {task.task_id}", reason, _NO_TRACEBACK)
            record = FailedTaskRecord(step.adapter.name, task.task_id, source_of(task), deaths, reason, _NO_TRACEBACK)
            return [], BatchReport.of_lost((record,), items_of(task))
        result = step.adapter.process([task])
        self._ledger.end(key, [])
        return result


def slice_rows(rows: int, nbytes: int, batch_size: int) -> int:
    """How many rows of a block are done at once: whole batches of at most some megabytes, one at the least."""
    batches = _SLICE_BYTES * rows // max(1, nbytes * batch_size)
    return max(1, batches) * batch_size


def overrides(stage: Any, method: str) -> bool:
    """Whether a stage has its own version of a method of ProcessingStage, ours or NeMo Curator's."""
    for cls in type(stage).__mro__:
        if method in vars(cls):
            return cls.__name__ not in ("ProcessingStage", "CompositeStage")
    return False


def _digest(tasks: list[Any]) -> str:
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(task.task_id.encode())
        digest.update(b"\0")
    return digest.hexdigest()
