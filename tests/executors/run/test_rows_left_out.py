"""Rows that a stage left out: counted and recorded once, also where their task runs again, and against the limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.executors import Task
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.remarks import leave_out, note
from curator_slurm.executors.resume.checkpoint import checkpointing
from curator_slurm.executors.resume.tracker import SourceTracker
from curator_slurm.executors.run import progress
from curator_slurm.executors.run.monitor import FAILURES_FILE, RunMonitor
from curator_slurm.executors.run.payload import merge_reports
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, TooManyFailedTasksError


class Reader:
    """Leaves out as many rows as its task says, then says so; the second try of a task that is 13 succeeds."""

    name = "reader"
    batch_size = 2
    tries = 0

    def process(self, task: Any) -> Any:
        for line in range(task.data):
            leave_out(ValueError(f"line {line}"), "/in/a", line)
        note("files were passed over")
        if task.data == 13:
            self.tries += 1
            if self.tries == 1:
                raise OSError("storage")
        return task

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        return [self.process(task) for task in tasks]

    def supports_batch_processing(self) -> bool:
        return False


def tasks(*numbers: int) -> list[Any]:
    made = [Task("numbers", number) for number in numbers]
    for index, task in enumerate(made):
        task.task_id = f"0_{index}"
    return made


def read(*numbers: int, **policy: Any) -> BatchReport:
    return StageAdapter(Reader(), FailurePolicy(OnTaskError.SKIP, **policy)).process(tasks(*numbers))[1]


def monitor(most: int | None = None) -> RunMonitor:
    return RunMonitor("test", [Reader()], FailurePolicy(OnTaskError.SKIP, max_failed_tasks=most))


def test_positions_go_with_the_reports_of_several_batches() -> None:
    report = merge_reports([read(0, 1), read(2)])
    assert [(position, record.line) for position, record in report.rows_left_out] == [(1, 0), (2, 0), (2, 1)]
    assert (report.failed_count, report.tasks_out, report.notes) == (3, 3, ("files were passed over",))


def test_a_task_that_is_tried_again_says_it_once() -> None:
    report = read(13, task_retries=1)
    assert (report.failed_count, report.failures) == (13, ())


def test_each_is_a_line_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setenv(FAILURES_FILE, str(tmp_path / "failures.jsonl"))
    monkeypatch.setattr(progress, "_earlier", [])  # of pipelines that other tests have run in this process
    with monitor() as found:
        found.record(0, read(2, 1))
        shown = found.progress.snapshot()
    lines = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [(line["file"], line["line"], line["rows"]) for line in lines] == [("/in/a", n, 1) for n in (0, 1, 0)]
    assert shown["totals"] == {"tasks_failed": 0, "items_failed": 0, "rows_failed": 3}
    assert (shown["stages"][0]["rows_failed"], shown["notes"]) == (3, ["files were passed over"])
    assert "3 rows failed and are not in the output" in caplog.text


def test_they_count_against_the_limit() -> None:
    found = monitor(most=3)
    found.record(0, read(3))
    with pytest.raises(TooManyFailedTasksError, match="4 tasks failed, and max_failed_tasks is 3"):
        found.record(0, read(1))


def test_those_of_earlier_attempts_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """What a takeover has left in failures.jsonl, where the run goes on; nothing of another pipeline of the process."""
    record = {"stage": "reader", "task_id": "0_0", "source": "a", "error": "", "traceback": "", "rows": 2}
    (tmp_path / "failures.jsonl").write_text(json.dumps(record) + "\n")
    monkeypatch.setenv(FAILURES_FILE, str(tmp_path / "failures.jsonl"))
    with monitor(most=3) as anew:
        anew.record(0, read(3))
    checkpoint = tmp_path / "checkpoint"
    with checkpointing(checkpoint, automatic=True):
        with monitor() as first:
            first.checkpoint._store.append(["a"])  # type: ignore[union-attr]
        with monitor(most=6) as goes_on:
            goes_on.record(0, read(1))
        assert "1 rows failed" in caplog.text
        with pytest.raises(TooManyFailedTasksError, match="8 tasks failed, and max_failed_tasks is 7"):
            monitor(most=7).record(0, read(2))


def test_after_a_loss_those_of_settled_sources_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAILURES_FILE, str(tmp_path / "failures.jsonl"))
    found, sources = monitor(), Sources(1, tasks(2, 3, 1))
    for groups, report in (([0, 1], read(2, 3)), ([2], read(1))):
        found.record(0, report)
        made = sources.record(0, groups, report)
        sources.finish(["out"], made[:1])
    sources.restart()
    found.restore(sources.settled, sources.failures)
    assert [record.line for record in sources.failures] == [0, 1, 0]
    assert len((tmp_path / "failures.jsonl").read_text().splitlines()) == 3
    assert found.progress.snapshot()["totals"]["rows_failed"] == 3
    found.record(0, read(3))
    assert found.progress.snapshot()["totals"]["rows_failed"] == 6


def test_a_partition_of_which_rows_were_left_out_is_finished() -> None:
    tracker = SourceTracker(["reader"], 0)
    report = read(1)
    tracker.restart(["a"], [record for _, record in report.rows_left_out])
    assert not tracker._failed
