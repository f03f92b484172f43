"""The failure policy and the report of a batch, without any back end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mishaps import Mishap
from plain_loop import STAGES, Arithmetic
from xenna_stages import KeepEven, Raise, Step, Twice, numbers

from curator_slurm.executors import Task
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import shift
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, StageError
from curator_slurm.executors.tasks import FailedTask, FileGroupTask, assign_root_task_ids


def batch(count: int) -> list[Any]:
    tasks: list[Any] = list(numbers(count))
    assign_root_task_ids(tasks)
    return tasks


def skip(retries: int = 0, timeout: float | None = None) -> FailurePolicy:
    return FailurePolicy(OnTaskError.SKIP, retries, None, timeout)


class Counting(Raise):
    """Counts its calls, by the numbers in each."""

    def __init__(self) -> None:
        super().__init__("counting", 8)
        self.calls: Counter[tuple[int, ...]] = Counter()

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        self.calls[tuple(task.data for task in tasks)] += 1
        return super().process_batch(tasks)


def test_a_failing_batch_is_retried_then_halved_until_one_task_stands_alone() -> None:
    stage = Counting()
    outputs, report = StageAdapter(stage, skip(retries=2)).process(batch(8))
    assert [task.data for task in outputs] == [0, 1, 2, 3, 4, 5, 6]
    (record,) = report.failures
    assert (record.stage, record.task_id, record.source, record.attempt) == ("counting", "0_7", "0_7", 6)
    assert "seven is not allowed" in record.traceback
    assert stage.calls == {
        (0, 1, 2, 3, 4, 5, 6, 7): 3, (0, 1, 2, 3): 1, (4, 5, 6, 7): 1, (4, 5): 1, (6, 7): 1, (6,): 1, (7,): 1,
    }  # fmt: skip
    assert (report.tasks_in, report.tasks_out, report.tasks_filtered) == (8, 7, 0)
    assert (list(report.parents), list(report.failed_inputs)) == ([0, 1, 2, 3, 4, 5, 6], [7])


def test_the_name_of_a_file_does_not_end_the_first_line_of_an_error() -> None:
    class Reader(Raise):
        def process_batch(self, tasks: list[Any]) -> list[Any]:
            raise ValueError(f"{tasks[0].data[0]}, line 3: not JSON\nmore")

    name = "/data/a\nb\r.jsonl"
    task = FileGroupTask("data", [name], _metadata={"source_files": [name]})
    said = r"ValueError: '/data/a\nb\r.jsonl', line 3: not JSON"
    with pytest.raises(StageError) as caught:
        StageAdapter(Reader("reader"), FailurePolicy(OnTaskError.FAIL, 0, None, None)).process([task])
    assert caught.value.error == said
    _, report = StageAdapter(Reader("reader"), skip()).process([task])
    assert [each.error for each in report.failures] == [said]


def test_with_fail_the_error_names_the_one_task_if_there_are_retries() -> None:
    with pytest.raises(StageError, match=r"process_batch of task 0_7: ValueError"):
        StageAdapter(Counting(), FailurePolicy(task_retries=1)).process(batch(8))


def test_a_second_try_gets_the_input_as_it_was() -> None:
    class Spoils(Step):
        tries = 0

        def process(self, task: Any) -> Any:
            task.data += 100
            self.tries += 1
            if self.tries == 1:
                raise ValueError("not yet")
            return task

    outputs, report = StageAdapter(Spoils("spoils"), FailurePolicy(task_retries=1)).process(batch(1))
    assert ([task.data for task in outputs], report.failures) == ([100], ())


@pytest.mark.parametrize("happening", ["garbage", "unsendable"])
def test_what_is_no_task_or_cannot_travel_is_the_stages_failure(happening: str) -> None:
    outputs, report = StageAdapter(Mishap("mishap", happening), skip()).process(batch(9))
    assert [task.data for task in outputs] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert [record.task_id for record in report.failures] == ["0_7"]


def test_a_task_that_takes_too_long_is_interrupted_also_in_a_thread() -> None:
    class Busy(Step):
        def process(self, task: Any) -> Any:
            while task.data == 3:
                time.sleep(0.01)
            return task

    found: list[Any] = []

    def run() -> None:
        found.append(StageAdapter(Busy("busy"), skip(timeout=0.2)).process(batch(5)))

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for outputs, report in found:
        assert [task.data for task in outputs] == [0, 1, 2, 4]
        assert "TaskTimeoutError" in report.failures[0].error


def test_parents_of_fan_out_filters_and_failed_markers() -> None:
    assert list(StageAdapter(Step("same", 8)).process(batch(3))[1].parents) == [0, 1, 2]

    class Mixed(Step):
        def process_batch(self, tasks: list[Any]) -> list[Any]:
            return [[Task("n", 1), Task("n", 2)], None, FailedTask(), Task("n", 3)]

    outputs, report = StageAdapter(Mixed("mixed", 4), skip()).process(batch(4))
    assert [task.task_id for task in outputs] == ["0_0_0", "0_0_1", "0_3_0"]
    assert (list(report.parents), list(report.failed_inputs), report.tasks_filtered) == ([0, 0, 3], [2], 1)

    class Join(Step):
        def process_batch(self, tasks: list[Any]) -> list[Any]:
            return [Task("n", sum(task.data for task in tasks))]

    assert list(StageAdapter(Join("join", 4)).process(batch(4))[1].parents) == [(0, 4)]
    assert shift([0, (1, 3)], 5) == [5, (6, 8)]


@settings(deadline=None)
@given(stage=STAGES, count=st.integers(0, 12), retries=st.integers(0, 1))
def test_every_input_is_accounted_for(stage: Arithmetic, count: int, retries: int) -> None:
    outputs, report = StageAdapter(stage, skip(retries)).process(batch(count))
    with_output = {p for parent in report.parents for p in (range(*parent) if isinstance(parent, tuple) else [parent])}
    assert len(report.parents) == len(outputs) == report.tasks_out
    assert report.tasks_in == count == len(with_output) + report.tasks_filtered + len(report.failures)
    assert not with_output & set(report.failed_inputs)
    for task, parent in zip(outputs, report.parents, strict=True):
        assert isinstance(parent, int)
        assert task.task_id.startswith(f"0_{parent}_")


def test_filters_and_fan_out_count() -> None:
    report = StageAdapter(KeepEven("even", 4), skip()).process(batch(4))[1]
    assert (report.tasks_in, report.tasks_out, report.tasks_filtered) == (4, 2, 2)
    report = StageAdapter(Twice("twice"), skip()).process(batch(1))[1]
    assert (report.tasks_out, list(report.parents)) == (2, [0, 0])


@pytest.mark.parametrize(("files", "named"), [(["/a.jsonl"], "/a.jsonl"), (["/a.jsonl", "/b.jsonl"], None), ([], None)])
def test_a_failed_task_names_the_one_file_that_it_comes_from(files: Any, named: str | None) -> None:
    """Of several, nobody knows which of them it was."""
    (task,) = batch(8)[7:]
    task._metadata["source_files"] = files
    (record,) = StageAdapter(Counting(), skip()).process([task])[1].failures
    assert record.file == named
    assert ("file" in record.to_json()) == (named is not None)
