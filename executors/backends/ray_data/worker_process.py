"""What runs inside Ray Data's workers: one or several stages, from blocks of pickled tasks to blocks of pickled tasks.

Stages that need neither a worker of their own nor other resources than their neighbour run in one
operator, one after the other, so that tasks are not pickled between them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from curator_slurm.executors.adapter.adapter import NodeInfo, StageAdapter, WorkerMetadata
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.backends.ray_data.ledger import CLOSED, SUSPECT, RemoteLedger
from curator_slurm.executors.backends.ray_data.rows import to_table, to_tasks
from curator_slurm.executors.run.blame import (
    RerunDecision,
    check_start_up,
    deaths_after,
    decide_rerun,
    give_up,
    identity_of,
)
from curator_slurm.executors.task_failures import ExecutorError, StageError, TooManyFailedTasksError

log = logging.getLogger(__name__)

_SLICE_BYTES = 8 << 20
_LOOK_S = 1.0
"""Between two looks, within the batches of a slice, at whether the run drains."""

Results = list[tuple[list[Any], BatchReport]]


@dataclass(frozen=True)
class Step:
    """One stage of an operator."""

    index: int
    adapter: StageAdapter


class Operator:
    """Some stages as one function over blocks; constructed in every worker, where it calls `setup`."""

    def __init__(self, steps: Sequence[Step], ledger: RemoteLedger, *, is_actor: bool) -> None:
        self._steps = steps
        self._ledger = ledger
        self._torn_down = True
        self._asked = 0.0
        self._broken: ExecutorError | None = None
        if is_actor:
            try:
                self.set_up()
                self._torn_down = False
            except ExecutorError as error:
                self._broken = error  # raised by the first call: Ray hides what a constructor raises

    def set_up(self) -> None:
        """`setup` of all stages, and `setup_on_node` on a node that joined after the run began."""
        context = ray.get_runtime_context()
        worker = WorkerMetadata(context.get_worker_id(), context.get_assigned_resources())
        starter = str(context.get_actor_id() or context.get_task_id())  # the same where Ray tries again
        for step in self._steps:
            check_start_up(step.adapter.name, self._ledger.starting(step.index, starter))
            if overrides(step.adapter.stage, "setup_on_node"):
                node_id = context.get_node_id()
                if not self._ledger.node_prepared(step.index, node_id):
                    step.adapter.setup_on_node(NodeInfo(node_id), worker)
            step.adapter.setup(worker)
            self._ledger.started(step.index, starter)
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
        size = step.adapter.batch_size
        key = (step.index, _digest(tasks))
        deaths = self._ledger.begin(key)
        if deaths == CLOSED:
            return []
        self._asked = time.monotonic()
        if len(tasks) <= size:
            results = self._try(step, tasks, deaths)
        else:
            batches = [tasks[start : start + size] for start in range(0, len(tasks), size)]
            run = self._run_suspect if deaths else self._run_batch
            results = []
            for batch in batches:
                if self._is_closed(step):
                    self._ledger.drop()
                    break
                results += run(step, batch)
        if not self._ledger.end(key, [report for _, report in results]):
            raise TooManyFailedTasksError(
                f"more tasks failed than max_failed_tasks allows; stage {step.adapter.name!r}"
            )
        return [task for done, _ in results for task in done]

    def _is_closed(self, step: Step) -> bool:
        """Whether the run drains, and this stage is to begin with no further batch; looks now and then."""
        now = time.monotonic()
        if now - self._asked < _LOOK_S:
            return False
        self._asked = now
        return self._ledger.is_closed(step.index)

    def _run_batch(self, step: Step, batch: list[Any]) -> Results:
        return [step.adapter.process(batch)]

    def _run_suspect(self, step: Step, batch: list[Any]) -> Results:
        """A batch on its own, of which it is not known whether the worker died at it or at one beside it."""
        key = (step.index, f"{SUSPECT}{_digest(batch)}")
        before = deaths_after(len(batch), 0, alone=False)
        results = self._try(step, batch, before + self._ledger.begin(key))
        self._ledger.end(key, [])
        return results

    def _try(self, step: Step, batch: list[Any], deaths: int) -> Results:
        """A batch at which so many workers have died."""
        policy = step.adapter.policy
        decision = decide_rerun(len(batch), deaths, policy)
        if decision is RerunDecision.GIVE_UP:
            return [([], give_up(step.adapter.name, policy, identity_of(batch[0]), deaths))]
        if decision is RerunDecision.DIVIDE:
            return [result for task in batch for result in self._run_suspect(step, [task])]
        return self._run_batch(step, batch)


def slice_rows(rows: int, nbytes: int, batch_size: int) -> int:
    """How many rows of a block are processed at once: whole batches of some megabytes at most, at least one batch."""
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
