"""The one adapter between a stage and any back end: ids, metrics, filtering and the failure policy.

Back ends call `setup_on_node` once per node, `setup` once per worker, then `process` or `process_batch` for each
batch, and `teardown` at the end. Stages are taken by protocol, not by class: NeMo Curator's work as they are.
"""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.failures import FailedTaskRecord, FailurePolicy, StageError, short_error
from curator_slurm.executors.perf import StagePerfStats
from curator_slurm.executors.tasks import content_id, is_failed_marker, is_none_marker, join_id


@dataclass
class NodeInfo:
    """The node that `setup_on_node` runs on, by Ray's node id."""

    node_id: str = ""


@dataclass
class WorkerMetadata:
    """The worker that a stage runs in; `allocation` is what the back end knows of its resources."""

    worker_id: str = ""
    allocation: Any = None


@dataclass(frozen=True)
class BatchReport:
    """What became of one batch; small, and sent to the driver where the payload is not."""

    tasks_in: int
    tasks_out: int
    tasks_filtered: int
    items_out: int
    seconds: float
    failures: tuple[FailedTaskRecord, ...] = ()


class StageAdapter:
    """Runs one stage for a back end."""

    def __init__(self, stage: Any, policy: FailurePolicy | None = None) -> None:
        self.stage = stage
        self.policy = policy or FailurePolicy()
        self.last_report: BatchReport | None = None
        self._idle_since: float | None = None

    @property
    def name(self) -> str:
        """The stage's name."""
        return str(self.stage.name)

    @property
    def batch_size(self) -> int:
        """Tasks in one call, 1 where the stage leaves it open."""
        return int(self.stage.batch_size or 1)

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

        Raises:
            StageError: the policy is `fail` and the batch failed.
        """
        began = time.perf_counter()
        again = fetch_again or _copies(tasks, self.policy)
        outputs: list[Any] = []
        filtered = 0
        failures: list[FailedTaskRecord] = []
        for part in self._attempts(tasks, again, failures):
            outputs.extend(part.outputs)
            filtered += part.filtered
            failures.extend(part.failures)
        report = BatchReport(
            tasks_in=len(tasks),
            tasks_out=len(outputs),
            tasks_filtered=filtered,
            items_out=sum(_items(task) for task in outputs),
            seconds=time.perf_counter() - began,
            failures=tuple(failures),
        )
        return outputs, report

    def _attempts(
        self, tasks: list[Any], again: Callable[[], list[Any]], failures: list[FailedTaskRecord]
    ) -> list[_Part]:
        """Try the whole batch; retry it; then halve what still fails, so that one bad task fails alone."""
        tries = 1 + self.policy.task_retries
        first_error: Exception | None = None
        for attempt in range(1, tries + 1):
            try:
                return [self._call(tasks if attempt == 1 else again())]
            except Exception as error:
                first_error = error
                if attempt == tries:
                    if not self.policy.skips:
                        raise self._stage_error(tasks, error) from None
                    if len(tasks) == 1:
                        failures.append(self._record(tasks[0], error, attempt))
                        return []
        assert first_error is not None
        return self._halves(range(len(tasks)), again, failures, tries)

    def _halves(
        self, indices: range, again: Callable[[], list[Any]], failures: list[FailedTaskRecord], attempt: int
    ) -> list[_Part]:
        middle = indices.start + (len(indices) + 1) // 2
        parts: list[_Part] = []
        for half in (range(indices.start, middle), range(middle, indices.stop)):
            if not half:
                continue
            fresh = again()[half.start : half.stop]
            try:
                parts.append(self._call(fresh))
            except Exception as error:
                if len(half) == 1:
                    failures.append(self._record(fresh[0], error, attempt + 1))
                else:
                    parts.extend(self._halves(half, again, failures, attempt + 1))
        return parts

    def _call(self, tasks: list[Any]) -> _Part:
        """One call of the stage, with ids and metrics put on its outputs."""
        began = time.perf_counter()
        idle = began - self._idle_since if self._idle_since is not None else 0.0
        items = sum(_items(task) for task in tasks)
        try:
            results = self.stage.process_batch(tasks)
        finally:
            custom = _consume_metrics(self.stage)
            ended = time.perf_counter()
            self._idle_since = ended
        if not isinstance(results, (list, tuple)):
            raise TypeError(f"process_batch returned {type(results).__name__}, not a list of tasks")
        ids = _output_ids(self.stage, tasks, results)
        sources = _sources(self.stage, tasks, results, ids)
        perf = StagePerfStats(self.name, ended - began, idle, items / (1 << 20), items, custom)
        outputs: list[Any] = []
        failures: list[FailedTaskRecord] = []
        produced: set[int] = set()
        seen: set[int] = set()
        one_to_one = len(results) == len(tasks)
        for index, (result, task_id, source) in enumerate(zip(results, ids, sources, strict=True)):
            if is_none_marker(result):
                continue
            parent = tasks[index if one_to_one else 0]
            produced.add(index if one_to_one else 0)
            if is_failed_marker(result):
                failures.append(FailedTaskRecord(self.name, parent.task_id, source, 1, "FailedTask", ""))
                continue
            if not hasattr(result, "task_id"):
                raise TypeError(f"process_batch returned a {type(result).__name__} among its tasks")
            output = copy.copy(result) if id(result) in seen else result
            seen.add(id(result))
            output.task_id = task_id
            output._source_id = source
            output._stage_perf = [*output._stage_perf, perf]
            outputs.append(output)
        if failures and getattr(self.stage, "is_source_stage", False):
            raise ValueError("a source stage returned a FailedTask; it must raise instead")
        ambiguous = not one_to_one and len(tasks) > 1
        filtered = (0 if produced else len(tasks)) if ambiguous else len(tasks) - len(produced)
        return _Part(outputs, filtered, failures)

    def _record(self, task: Any, error: Exception, attempt: int) -> FailedTaskRecord:
        details = "".join(traceback.format_exception(error))
        return FailedTaskRecord(self.name, task.task_id, _source_of(task), attempt, short_error(error), details)

    def _stage_error(self, tasks: Sequence[Any], error: Exception) -> StageError:
        if isinstance(error, StageError):
            return error
        named = ", ".join(task.task_id or "?" for task in tasks[:3]) + (", ..." if len(tasks) > 3 else "")
        return StageError.from_exception(
            self.name, f"process_batch of task{'s' if len(tasks) > 1 else ''} {named}", error
        )


@dataclass
class _Part:
    outputs: list[Any]
    filtered: int
    failures: list[FailedTaskRecord]


def _copies(tasks: list[Any], policy: FailurePolicy) -> Callable[[], list[Any]]:
    repeats = policy.task_retries > 0 or (policy.skips and len(tasks) > 1)
    kept = copy.deepcopy(tasks) if repeats else tasks
    return lambda: copy.deepcopy(kept)


def _items(task: Any) -> int:
    return int(getattr(task, "num_items", 1))


def _consume_metrics(stage: Any) -> dict[str, float]:
    consume = getattr(stage, "_consume_custom_metrics", None)
    return dict(consume()) if consume is not None else {}


def _segment(stage: Any, task: Any, position: int) -> str | int:
    """A source stage names its outputs by their content where they can say it, else by position."""
    if getattr(stage, "is_source_stage", False) and not is_none_marker(task):
        own = getattr(task, "get_deterministic_id", lambda: None)()
        if own:
            return str(own)
    return position


def _output_ids(stage: Any, tasks: list[Any], results: Sequence[Any]) -> list[str]:
    """Ids of the outputs: children of a single input, or of the input at the same position.

    Where neither holds (several in, another number out) the id starts with "r" and is derived from all inputs and
    the position, so that it is the same in every run that makes the same batches.
    """
    if len(tasks) == 1:
        return [join_id(tasks[0].task_id, _segment(stage, result, index)) for index, result in enumerate(results)]
    if len(results) == len(tasks):
        return [join_id(task.task_id, _segment(stage, result, 0)) for task, result in zip(tasks, results, strict=True)]
    origin = [str(stage.name), *(task.task_id for task in tasks)]
    return [f"r{content_id([*origin, str(index)])}" for index in range(len(results))]


def _sources(stage: Any, tasks: list[Any], results: Sequence[Any], ids: list[str]) -> list[str]:
    """The source partition of each output: its own at a source stage, else that of its parent."""
    if getattr(stage, "is_source_stage", False):
        return [task_id.rsplit("_", 1)[-1] for task_id in ids]
    if len(results) == len(tasks):
        return [_source_of(task) for task in tasks]
    known = {_source_of(task) for task in tasks}
    return [known.pop() if len(known) == 1 else ""] * len(results)


def _source_of(task: Any) -> str:
    return str(getattr(task, "_source_id", "") or "")
