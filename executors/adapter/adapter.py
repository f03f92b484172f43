"""The one adapter between a stage and any back end: ids, metrics, filtering and the failure policy.

Back ends call `setup_on_node` once per node, `setup` once per worker, then `process` or `process_batch` for each
batch, and `teardown` at the end. Stages are taken by protocol, not by class: NeMo Curator's work as they are.
"""

from __future__ import annotations

import contextlib
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.executors.adapter.batch_report import BatchReport, Parent, shift
from curator_slurm.executors.adapter.deadline import deadline
from curator_slurm.executors.adapter.dropped_documents import Before, Comparer
from curator_slurm.executors.adapter.lineage import Child, children_of_batch, children_of_one
from curator_slurm.executors.adapter.perf import StagePerfStats
from curator_slurm.executors.adapter.sendable import check_sendable
from curator_slurm.executors.adapter.snapshot import Snapshot
from curator_slurm.executors.adapter.task_size import Weigher
from curator_slurm.executors.document_samples import SampleLimits, SampleTaker, showing
from curator_slurm.executors.missing_input import refusal
from curator_slurm.executors.remarks import Remarks, listening
from curator_slurm.executors.resume.tracker import Account, Given, Tracking, items_of, partition_of
from curator_slurm.executors.task_failures import FailedTaskRecord, FailurePolicy, StageError, short_error
from curator_slurm.executors.tasks import files_of, is_failed_marker, is_none_marker, only_file, source_of

_MOST_NAMED = 8
_NODE = socket.gethostname().split(".", 1)[0]


@dataclass
class NodeInfo:
    """The node that `setup_on_node` runs on, by Ray's node id."""

    node_id: str = ""


@dataclass
class WorkerMetadata:
    """The worker that a stage runs in; `allocation` is what the back end knows of its resources."""

    worker_id: str = ""
    allocation: Any = None


class StageAdapter:
    """Runs one stage for a back end."""

    def __init__(
        self,
        stage: Any,
        policy: FailurePolicy | None = None,
        *,
        kill_when_hung: bool = False,
        tracking: Tracking | None = None,
        samples: SampleLimits | None = None,
    ) -> None:
        """`kill_when_hung`: end the process if a task ignores `task_timeout_s`; for workers that will be replaced.

        `samples`: how many documents that the stage keeps and drops are to be shown, and what of them.
        """
        self.stage = stage
        self._taker = SampleTaker(samples) if samples is not None else None
        self._comparer = Comparer(self._taker, str(stage.name)) if self._taker is not None else None
        self._tracking = tracking
        self._kill = kill_when_hung
        self.policy = policy or FailurePolicy()
        self.last_report: BatchReport | None = None
        self._idle_since: float | None = None
        self._weigh_in, self._weigh_out = Weigher(), Weigher()

    @property
    def name(self) -> str:
        """The stage's name."""
        return str(self.stage.name)

    @property
    def batch_size(self) -> int:
        """Tasks in one call, 1 where the stage leaves it open."""
        return int(self.stage.batch_size or 1)

    @property
    def is_per_task(self) -> bool:
        """Whether the stage's `process_batch` is the inherited loop over `process`."""
        supports = getattr(self.stage, "supports_batch_processing", None)
        return supports is not None and not supports() and "process_batch" not in vars(self.stage)

    def setup_on_node(self, node_info: NodeInfo | None = None, worker_metadata: WorkerMetadata | None = None) -> None:
        """Once per node, before any `setup` there.

        Raises:
            StageError: with the original traceback; so do the other calls.
        """
        try:
            self.stage.setup_on_node(node_info, worker_metadata)
        except Exception as error:
            raise StageError.from_exception(self.name, "setup_on_node", error) from None

    def setup(self, worker_metadata: WorkerMetadata | None = None) -> None:
        """Once per worker."""
        try:
            self.stage.setup(worker_metadata)
        except Exception as error:
            raise StageError.from_exception(self.name, "setup", error) from None

    def teardown(self) -> None:
        """Once per worker, at its end."""
        try:
            self.stage.teardown()
        except Exception as error:
            raise StageError.from_exception(self.name, "teardown", error) from None

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        """`process`, leaving the report in `last_report`."""
        outputs, self.last_report = self.process(tasks)
        return outputs

    def process(
        self, tasks: list[Any], fetch_again: Callable[[], list[Any]] | None = None
    ) -> tuple[list[Any], BatchReport]:
        """One batch through the stage: (outputs, report).

        A stage may change its input, so a second try needs it as it was: from `fetch_again` where the back end can
        fetch the batch anew, else from a copy that is made before the first try, if the policy may need one.
        A stage without a `process_batch` of its own is called task by task, so that ids and failures are exact.

        Raises:
            StageError: the policy is `fail` and the batch failed.
        """
        tasks = list(tasks)
        began = time.perf_counter()
        idle = began - self._idle_since if self._idle_since is not None else 0.0
        counted = [items_of(task) for task in tasks]
        items = sum(counted)
        bytes_in = self._weigh_in(tasks, items)
        again = fetch_again or self._keep(tasks)
        result = _Result([], 0, [], items=counted)
        try:
            if self.is_per_task:
                for index in range(len(tasks)):
                    self._attempts(tasks, again, range(index, index + 1), self._call_one, result)
            elif tasks:
                self._attempts(tasks, again, range(len(tasks)), self._call_batch, result)
        finally:
            custom = _consume_metrics(self.stage)
            ended = self._idle_since = time.perf_counter()
        perf = StagePerfStats(self.name, max(ended - began, 1e-9), idle, items / (1 << 20), items, custom)
        _add_perf(result.outputs, perf)
        made = [items_of(task) for task in result.outputs]
        for weigher in (self._weigh_in, self._weigh_out):
            weigher.worked(ended - began)
        report = BatchReport(
            tasks_in=len(tasks),
            tasks_out=len(result.outputs),
            tasks_filtered=result.filtered,
            items_out=sum(made),
            seconds=ended - began,
            failures=tuple(result.failures),
            node=_NODE,
            kind=type(result.outputs[0]).__name__ if result.outputs else "",
            items_in=items,
            items_failed=result.items_failed,
            parents=_short(result.parents, len(tasks)),
            failed_inputs=tuple(result.failed_inputs),
            sources=tuple(result.account.descendants.items()),
            blended=tuple(sorted(result.account.blended)),
            rows_left_out=tuple(result.rows_left_out),
            notes=tuple(result.notes),
            source_work=tuple((source, tuple(counts)) for source, counts in result.account.work.items()),
            bytes_in=bytes_in,
            bytes_out=self._weigh_out(result.outputs, sum(made)),
            samples=self._taker.give() if self._taker is not None else (),
            items_of_inputs=tuple(counted) if len(counted) > 1 else (),
            items_of_outputs=tuple(made) if len(made) > 1 else (),
        )
        return result.outputs, report

    def _keep(self, tasks: list[Any]) -> Callable[[], list[Any]]:
        """The input as it was, if the policy may run a task twice."""
        retried = self.policy.task_retries > 0
        split = self.policy.skips and len(tasks) > 1 and not self.is_per_task
        return Snapshot(tasks).restore if retried or split else lambda: tasks

    def _attempts(
        self,
        tasks: list[Any],
        again: Callable[[], list[Any]],
        span: range,
        call: Callable[[list[Any]], _Result],
        result: _Result,
    ) -> None:
        """Try all tasks of the span; retry them; then halve what still fails, so that one bad task fails alone."""
        tries = 1 + self.policy.task_retries
        attempt = 0
        pending = [(span, tries, 0)]
        while pending:
            part, allowed, before = pending.pop()
            for attempt in range(before + 1, before + allowed + 1):
                fresh = (tasks if attempt == 1 else again())[part.start : part.stop]
                try:
                    result.add(call(fresh), part.start)
                    break
                except (Exception, SystemExit) as error:
                    if attempt < before + allowed:
                        continue
                    if not self.policy.skips and (len(part) == 1 or self.policy.task_retries == 0):
                        raise self._stage_error(fresh, error) from None
                    if len(part) == 1:
                        result.failures.append(self._record(fresh[0], error, attempt))
                        result.items_failed += result.items[part.start]
                        result.failed_inputs.append(part.start)
                        break
                    middle = part.start + (len(part) + 1) // 2
                    pending.append((range(middle, part.stop), 1, attempt))
                    pending.append((range(part.start, middle), 1, attempt))

    def _call_one(self, tasks: list[Any]) -> _Result:
        (task,) = tasks
        validate = getattr(self.stage, "validate_input", None)
        if validate is not None and not validate(task):
            raise refusal(self.stage, task)
        limit = deadline(self.policy.task_timeout_s, f"{self.name}, task {task.task_id}", kill=self._kill)
        items, rows = [items_of(task)], self._rows(tasks)
        with listening(skips=self.policy.skips) as heard, showing(self._taker), limit:
            output = self.stage.process(task)
        children = children_of_one(self.stage, task, output)
        self._compare(rows, children)
        return self._collect(tasks, items, children, heard)

    def _rows(self, tasks: list[Any]) -> list[Before]:
        with contextlib.suppress(Exception):  # whatever payloads are: what is shown must not fail a task
            return self._comparer.before(tasks) if self._comparer is not None else []
        return []

    def _compare(self, rows: list[Before], children: list[Child]) -> None:
        """Tell from rows that went in what was dropped, unless the stage has said so itself."""
        if self._comparer is not None and self._taker is not None and rows and not self._taker.heard:
            outputs = ((child.parent, child.task) for child in children if not is_none_marker(child.task))
            with contextlib.suppress(Exception):
                self._comparer.after(rows, outputs)

    def _call_batch(self, tasks: list[Any]) -> _Result:
        seconds = self.policy.task_timeout_s
        given = list(tasks)  # a stage may empty its list, or sort it
        items = [items_of(task) for task in tasks]
        limit = deadline(
            seconds and seconds * len(tasks), f"{self.name}, {several(len(tasks), 'task')}", kill=self._kill
        )
        rows = self._rows(tasks)
        with listening(skips=self.policy.skips) as heard, showing(self._taker), limit:
            outputs = self.stage.process_batch(given)
            if isinstance(outputs, Iterator):  # its code runs here, within the time it has
                outputs = list(outputs)
        order = _order(tasks, given)
        ordered = [tasks[index] for index in order]
        children = children_of_batch(self.stage, ordered, outputs)
        self._compare([rows[index] for index in order] if rows else [], children)
        result = self._collect(ordered, [items[index] for index in order], children, heard)
        result.parents = [order[parent] if isinstance(parent, int) else parent for parent in result.parents]
        result.failed_inputs = [order[position] for position in result.failed_inputs]
        return result

    def _collect(self, tasks: list[Any], items: list[int], children: list[Child], heard: Remarks) -> _Result:
        """Sort what a call gave into outputs, filtered and failed inputs, and put ids on the outputs.

        `items` are those of the tasks before the call, which may have changed them.
        """
        result = _Result([], 0, [], notes=heard.notes)
        result.rows_left_out = [(0, record) for record in heard.failed_rows(self.name, tasks[0])]
        used: set[int] = set()
        inputs = [partition_of(task) for task in tasks]  # before an output, which may be the same object, gets its own
        blended = False
        for child in children:
            if is_none_marker(child.task):
                continue
            used.update([child.parent] if child.parent is not None else range(len(tasks)))
            blended = blended or child.parent is None
            if is_failed_marker(child.task):
                if getattr(self.stage, "is_source_stage", False):
                    raise ValueError("a source stage returned a FailedTask; it must raise instead")
                origin = tasks[child.parent or 0]
                result.failures.append(
                    FailedTaskRecord(
                        self.name,
                        origin.task_id,
                        source_of(origin),
                        1,
                        "the stage returned a FailedTask",
                        "",
                        only_file(origin),
                    )
                )
                result.items_failed += items[child.parent or 0]
                result.failed_inputs.append(child.parent or 0)
                continue
            check_sendable(child.task)
            result.outputs.append(_apart(child.claim()))
            result.parents.append(child.parent if child.parent is not None else (0, len(tasks)))
        result.filtered = len(tasks) - len(used)
        if self._tracking is not None:
            kept, done = self._tracking.select(result.outputs)
            if len(kept) < len(result.outputs):
                chosen = {id(task) for task in kept}
                pairs = zip(result.outputs, result.parents, strict=True)
                result.parents = [parent for task, parent in pairs if id(task) in chosen]
                result.outputs = kept
            given = [Given(source, items[position], position not in used) for position, source in enumerate(inputs)]
            result.account = self._tracking.account(given, kept, blended=blended, done=done)
        return result

    def _record(self, task: Any, error: BaseException, attempt: int) -> FailedTaskRecord:
        details = "".join(traceback.format_exception(error))
        line = short_error(error, files_of(task))
        return FailedTaskRecord(self.name, task.task_id, source_of(task), attempt, line, details, only_file(task))

    def _stage_error(self, tasks: Sequence[Any], error: BaseException) -> StageError:
        if isinstance(error, StageError):
            return error
        named = ", ".join(task.task_id or "?" for task in tasks[:_MOST_NAMED])
        if len(tasks) > _MOST_NAMED:
            named += f" and {len(tasks) - _MOST_NAMED} more"
        files = [file for task in tasks for file in files_of(task)]
        what = f"process_batch of task{'s' if len(tasks) > 1 else ''} {named}"
        return StageError.from_exception(self.name, what, error, files)


@dataclass
class _Result:
    outputs: list[Any]
    filtered: int
    failures: list[FailedTaskRecord]
    items_failed: int = 0
    parents: list[Parent] = field(default_factory=list)
    failed_inputs: list[int] = field(default_factory=list)
    account: Account = field(default_factory=Account)
    rows_left_out: list[tuple[int, FailedTaskRecord]] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    items: Sequence[int] = ()
    """Of each input, before the call."""

    def add(self, other: _Result, start: int) -> None:
        """Take over what a part of the batch gave that begins at `start`."""
        self.outputs.extend(other.outputs)
        self.filtered += other.filtered
        self.failures.extend(other.failures)
        self.items_failed += other.items_failed
        self.account.add(other.account)
        self.parents += shift(other.parents, start)
        self.failed_inputs += [start + position for position in other.failed_inputs]
        self.rows_left_out += [(start + position, record) for position, record in other.rows_left_out]
        self.notes |= other.notes


def _short(parents: list[Parent], inputs: int) -> Sequence[Parent]:
    """One output for each input is the usual case, and travels as a range."""
    return range(inputs) if len(parents) == inputs and parents == list(range(inputs)) else tuple(parents)


def _order(tasks: Sequence[Any], given: Sequence[Any]) -> Sequence[int]:
    """Where in the batch the tasks of the stage's list are, if it has put them in another order; else as they were."""
    if len(given) == len(tasks) and any(one is not other for one, other in zip(given, tasks, strict=True)):
        positions = {id(task): index for index, task in enumerate(tasks)}
        order = [positions.get(id(task), -1) for task in given]
        if sorted(order) == list(range(len(tasks))):
            return order
    return range(len(tasks))


def _apart(task: Any) -> Any:
    """The output with a dictionary of its own: siblings that share one would overwrite each other's entries where they
    travel together."""
    metadata = getattr(task, "_metadata", None)
    if type(metadata) is dict:
        task._metadata = dict(metadata)
    return task


def _consume_metrics(stage: Any) -> dict[str, float]:
    consume = getattr(stage, "_consume_custom_metrics", None)
    return dict(consume()) if consume is not None else {}


def _add_perf(outputs: list[Any], perf: StagePerfStats) -> None:
    """Every output gets a list of its own: a stage may have handed its input's list on to several of them."""
    for output in outputs:
        output._stage_perf = [*output._stage_perf, perf]
