"""What the driver hears of batches that run on the engine as it is."""

from __future__ import annotations

from typing import Any

import pytest
import ray
from xenna_stages import Raise, numbers

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.backends.xenna import plain
from curator_slurm.executors.backends.xenna.plain import PlainStage, Reports
from curator_slurm.executors.backends.xenna.worker_process import Requests
from curator_slurm.executors.task_failures import FailedTaskRecord, FailurePolicy, TooManyFailedTasksError
from curator_slurm.executors.tasks import assign_root_task_ids


def report(failures: int = 0) -> BatchReport:
    return BatchReport(2, 2 - failures, 0, 2, 0.1, (FailedTaskRecord("s", "0", "", 1, "", ""),) * failures)


def test_a_batch_that_ran_twice_counts_once() -> None:
    reports = Reports(max_failed=None)
    assert reports.add(0, "a", report())
    assert reports.add(0, "a", report())
    assert reports.add(1, "a", report())
    assert [stage for stage, _ in reports.take()] == [0, 1]
    assert reports.take() == []


def test_too_many_failed_tasks_end_the_run() -> None:
    reports = Reports(max_failed=1)
    assert reports.add(0, "a", report(1))
    assert reports.add(0, "a", report(1))
    assert not reports.add(0, "b", report(1))


class Local:
    """Stands in for the actor."""

    def __init__(self, reports: Reports) -> None:
        self.add = self
        self._reports = reports

    def remote(self, *arguments: Any) -> bool:
        return self._reports.add(*arguments)


def test_a_stage_gives_plain_tasks_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "get", lambda value: value)
    reports = Reports(max_failed=0)
    adapter = StageAdapter(Raise("picky", 4), FailurePolicy.from_config({"on_task_error": "skip"}))
    stage = PlainStage(adapter, Requests("picky", 1.0, 0.0, 4), None, position=3, reports=Local(reports))
    tasks = numbers(8)
    assign_root_task_ids(tasks)
    assert [task.data for task in stage.process_data(tasks[:4])] == [0, 1, 2, 3]
    with pytest.raises(TooManyFailedTasksError, match="'picky'"):
        stage.process_data(tasks[4:])
    assert [(position, made.tasks_in, made.tasks_out) for position, made in reports.take()] == [(3, 4, 4), (3, 4, 3)]


def test_batches_are_told_apart_by_their_tasks() -> None:
    tasks = numbers(4)
    assign_root_task_ids(tasks)
    assert plain._digest(tasks[:2]) == plain._digest(tasks[:2])
    assert plain._digest(tasks[:2]) != plain._digest(tasks[2:])
