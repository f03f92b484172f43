"""What stages may do with the batch they are given, and with what tasks share, without any back end."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_adapter_failures import batch, skip
from xenna_stages import Number, Step

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.base import BaseExecutor
from curator_slurm.executors.resume.tracker import items_of
from curator_slurm.executors.run.monitor import FAILURES_FILE, RunMonitor
from curator_slurm.executors.task_failures import FailedTaskRecord


class Emptying(Step):
    """Takes the tasks out of the list that it is given."""

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        done = []
        while tasks:
            done.append(tasks.pop(0))
            if done[-1].data == 2 and self.name == "raises":
                raise ValueError("two")
        return done


class Sorting(Step):
    """Puts the list in another order, and returns new tasks in that order."""

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        tasks.sort(key=lambda task: -task.data)
        return [Number("numbers", task.data) for task in tasks]


class Lazy(Step):
    """Does its work while its result is read."""

    def process_batch(self, tasks: list[Any]) -> Iterator[Any]:  # type: ignore[override]
        for task in tasks:
            if task.data == 2:
                time.sleep(60)
            yield task


class Sharing(Step):
    """Two tasks of each, with the metadata of their parent."""

    def process(self, task: Any) -> Any:
        return [Number("numbers", task.data, _metadata=task._metadata) for _ in range(2)]


def test_a_stage_may_empty_its_list() -> None:
    outputs, report = StageAdapter(Emptying("pops", 4)).process(batch(4))
    assert [task.task_id for task in outputs] == ["0_0_0", "0_1_0", "0_2_0", "0_3_0"]
    assert list(report.parents) == [0, 1, 2, 3]
    outputs, report = StageAdapter(Emptying("raises", 4), skip()).process(batch(4))
    assert [task.task_id for task in outputs] == ["0_0_0", "0_1_0", "0_3_0"]
    assert [failure.task_id for failure in report.failures] == ["0_2"]


def test_a_stage_may_sort_its_list() -> None:
    outputs, report = StageAdapter(Sorting("sorts", 4)).process(batch(4))
    assert [(task.data, task.task_id) for task in outputs] == [(index, f"0_{index}_0") for index in (3, 2, 1, 0)]
    assert list(report.parents) == [3, 2, 1, 0]


def test_a_generators_work_has_a_time_limit_too() -> None:
    outputs, report = StageAdapter(Lazy("lazy", 4), skip(timeout=0.2)).process(batch(4))
    assert [task.data for task in outputs] == [0, 1, 3]
    assert "TaskTimeoutError" in report.failures[0].error


def test_siblings_do_not_share_metadata_on_the_way() -> None:
    outputs, _ = StageAdapter(Sharing("shares")).process(batch(2))
    for index, task in enumerate(pickle.loads(pickle.dumps(outputs))):
        task._metadata["n"] = index
        outputs[index] = task
    assert [task._metadata["n"] for task in outputs] == [0, 1, 2, 3]


def test_performance_records_are_no_ones_but_the_tasks_own() -> None:
    """A stage that makes new tasks hands its input's records on, or does not: that is up to it, as in NeMo Curator."""
    outputs, _ = StageAdapter(Sharing("new")).process(StageAdapter(Step("before")).process(batch(1))[0])
    assert [[perf.stage_name for perf in task._stage_perf] for task in outputs] == [["new"], ["new"]]
    assert outputs[0]._stage_perf is not outputs[1]._stage_perf


def test_what_cannot_be_sent_is_found_wherever_a_task_holds_it() -> None:
    class Locks(Step):
        def process(self, task: Any) -> Any:
            if task.data == 1:
                task.lock = threading.Lock()
            return task

    outputs, report = StageAdapter(Locks("locks"), skip()).process(batch(3))
    assert [task.data for task in outputs] == [0, 2]
    assert "cannot be sent" in report.failures[0].error


@pytest.mark.parametrize("number", [None, "many", 3.0])
def test_items_of_tasks_that_cannot_say(number: Any) -> None:
    class Odd(Number):
        num_items = number

    assert items_of(Odd("numbers", 1)) == (3 if number == 3.0 else 1)


def test_a_task_that_is_given_twice_is_two_tasks() -> None:
    task = Number("numbers", 1)
    other = Number("numbers", 2, _metadata=task._metadata)
    first = BaseExecutor.first_tasks([task, task, other])
    assert [one.task_id for one in first] == ["0_0", "0_1", "0_2"]
    assert first[0] is task
    assert len({id(one._metadata) for one in first}) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_failed_tasks_are_logged(
    kept: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FAILURES_FILE, raising=False)
    if kept:
        monkeypatch.setenv(FAILURES_FILE, str(tmp_path / "failures.jsonl"))
    records = tuple(FailedTaskRecord("step", f"0_{index}", "0", 1, "ValueError: bad", "") for index in range(20))
    with caplog.at_level(logging.WARNING), RunMonitor("xenna", [Step("step")], skip()) as monitor:
        monitor.record(0, BatchReport.of_lost(records, 20))
    assert caplog.text.count("ValueError: bad") == 5
    assert "20 tasks failed and are not in the output" in caplog.text
    assert (str(tmp_path) if kept else FAILURES_FILE) in caplog.text
