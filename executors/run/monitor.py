"""The driver's view of a run: progress, the record of failed tasks, the limit on them, and the final count."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curator_slurm.common.appended_files import append_text
from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.in_words import several
from curator_slurm.common.plain_files import open_plain
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.resume.checkpoint import Checkpoint
from curator_slurm.executors.resume.nemo import mark_failed_tasks
from curator_slurm.executors.run.drain import DrainGate
from curator_slurm.executors.run.progress import ProgressReporter
from curator_slurm.executors.run.sample_file import SampleFile
from curator_slurm.executors.run.sources import Tally
from curator_slurm.executors.task_failures import (
    FailedTaskRecord,
    FailurePolicy,
    LostTasksError,
    TooManyFailedTasksError,
)

log = logging.getLogger(__name__)

FAILURES_FILE = "CURATOR_SLURM_FAILURES"
"""Environment variable with the path of failures.jsonl."""
_LOGGED = 5
"""How many failed tasks are logged one by one."""


class RunMonitor:
    """One run of a pipeline on one back end; a context manager around it.

    Back ends report every batch exactly once, also where it runs again because its result was lost.
    """

    def __init__(self, backend: str, stages: Sequence[Any], policy: FailurePolicy) -> None:
        self.policy = policy
        self.progress = ProgressReporter(backend, [str(stage.name) for stage in stages])
        self.failures: list[FailedTaskRecord] = []
        path = os.environ.get(FAILURES_FILE)
        self._path = Path(path) if path else None
        self._before = self._path.stat().st_size if self._path and self._path.exists() else 0
        self.checkpoint = Checkpoint(stages)
        self.progress.before = self.checkpoint.work_before
        self._earlier = self._rows_of_earlier_attempts() if self.checkpoint.goes_on else 0
        self._failed_count = self._earlier
        self._samples = SampleFile(self.progress.pipeline)
        self.drain = DrainGate(self.checkpoint)

    def adapter(self, index: int, stage: Any, policy: FailurePolicy) -> StageAdapter:
        """Of the stage with this position, for workers that are replaced."""
        return StageAdapter(
            stage,
            policy,
            kill_when_hung=True,
            tracking=self.checkpoint.tracking(index),
            samples=self._samples.limits,
        )

    def __enter__(self) -> RunMonitor:
        self.progress.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        if self.failures:
            tasks = sum(failure.rows is None for failure in self.failures)
            counts = {"tasks": tasks, "rows": self._failed_count - self._earlier - tasks}
            what = " and ".join(f"{count} {name}" for name, count in counts.items() if count)
            log.warning("%s failed and are not in the output%s", what, self._where())
        self.checkpoint.close()
        self.progress.__exit__(*exc)

    def record(self, stage: int, report: BatchReport) -> None:
        """Count a batch of the stage with this position.

        Raises:
            TooManyFailedTasksError: more tasks have failed by now than the policy allows.
        """
        self.progress.add(stage, report)
        if report.samples:
            self._samples.add(stage, self.progress.stages[stage].name, report)
        failures = [*report.failures, *(record for _, record in report.rows_left_out)]
        self._append(failures)  # before what may finish a partition with them: nobody comes across its rows again
        self.checkpoint.record(stage, report)
        if not failures:
            return
        if report.failures:
            mark_failed_tasks()
        for failure in failures[: max(0, _LOGGED - len(self.failures))]:
            what = f"a row of task {failure.task_id}" if failure.rows else f"task {failure.task_id}"
            log.warning("%s failed in stage %r: %s", what, failure.stage, failure.error)
        self.failures.extend(failures)
        self._failed_count += report.failed_count
        most = self.policy.max_failed_tasks
        if most is not None and self._failed_count > most:
            last = self.failures[-1]
            raise TooManyFailedTasksError(
                f"{several(self._failed_count, 'task')} failed, and max_failed_tasks is {most}; the last one is "
                f"{last.task_id} in stage {last.stage!r}: {last.error}\n\n{last.traceback}"
            )

    def restore(self, tallies: Sequence[Tally], failures: Sequence[FailedTaskRecord]) -> None:
        """Reset progress, failed tasks and their file to these, because everything else runs again."""
        self.progress.restore(tallies)
        self.failures = list(failures)
        self._failed_count = self._earlier + sum(failure.rows or 1 for failure in failures)
        if self._path is None:
            return
        try:
            with open_plain(self._path) as stream:
                kept = stream.read(self._before)
        except FileNotFoundError:
            kept = b""
        write_atomic(self._path, kept + _lines(failures).encode("utf-8", "replace"), durable=False)

    def check_counts(self, initial: int, outputs: int) -> None:
        """Every task that left a stage must have reached the next one, and those of the last stage must be the outputs.

        Raises:
            LostTasksError: some were lost or came twice.
            SourcesGoneError: what an earlier attempt has finished is of another input.
        """
        self.checkpoint.check_sources()
        counts = self.progress.stages
        given = [initial, *(stage.tasks_out for stage in counts)]
        taken = [*(stage.tasks_in for stage in counts), outputs]
        names = ["the input", *(f"stage {stage.name!r}" for stage in counts)]
        for index, (out, into) in enumerate(zip(given, taken, strict=True)):
            if out != into:
                where = f"stage {counts[index].name!r} received" if index < len(counts) else "the run returned"
                raise LostTasksError(f"{several(out, 'task')} came from {names[index]}, but {where} {into}")

    def _rows_of_earlier_attempts(self) -> int:
        """Rows left out of partitions that are finished: they are in the file already, and count against the limit."""
        if self._path is None or not self._before:
            return 0
        with contextlib.suppress(OSError, ValueError), open_plain(self._path) as stream:
            return sum(int(json.loads(line).get("rows") or 0) for line in stream if line.strip())
        return 0

    def _where(self) -> str:
        if self._path:
            return f"; they are recorded in {self._path}"
        return f"; set {FAILURES_FILE} to a file to have them recorded"

    def _append(self, records: Sequence[FailedTaskRecord]) -> None:
        if self._path is None or not records:
            return
        append_text(self._path, _lines(records))


def _lines(records: Sequence[FailedTaskRecord]) -> str:
    return "".join(json.dumps(record.to_json(), ensure_ascii=False) + "\n" for record in records)
