"""What the reporter counts, and what it can tell about stages together."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.executors import ProcessingStage, Task
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.backends.ray_data.worker_count import RECENT_S, DataWorkers
from curator_slurm.executors.run import progress
from curator_slurm.executors.run.progress import ProgressReporter
from curator_slurm.executors.run.stage_progress import StageProgress, snapshots
from curator_slurm.executors.task_failures import FailedTaskRecord, FailurePolicy, OnTaskError


def done(tasks_in: int, tasks_out: int, **more: Any) -> BatchReport:
    return BatchReport(tasks_in, tasks_out, max(0, tasks_in - tasks_out), tasks_out, 0.1, **more)


def stages(*names: str) -> list[StageProgress]:
    return [StageProgress(name) for name in names]


def test_what_waits_is_what_the_stage_before_has_put_out() -> None:
    first, second = stages("first", "second")
    first.expected = 10
    first.add(done(4, 8))
    second.add(done(3, 3))
    found = snapshots([first, second])
    assert [stage["queued"] for stage in found] == [6, 5]
    first.add(done(6, 12))
    second.add(done(17, 17))
    assert [stage["queued"] for stage in snapshots([first, second])] == [0, 0]


def test_how_many_will_come_is_known_when_the_stage_before_is_done_and_estimated_until_then() -> None:
    first, second, third = chain = stages("first", "second", "third")
    assert [stage["expected_about"] for stage in snapshots(chain)] == [None, None, None]
    first.expected = 10
    assert [stage["expected_about"] for stage in snapshots(chain)] == [10, None, None]
    first.add(done(5, 20))
    second.add(done(10, 5))
    found = snapshots(chain)
    assert [stage["expected"] for stage in found] == [10, None, None]
    assert [stage["expected_about"] for stage in found] == [10, 40, 20]
    first.add(done(5, 10))
    found = snapshots(chain)
    assert [stage["expected"] for stage in found] == [10, 30, None]
    second.add(done(20, 20))
    assert [stage["expected"] for stage in snapshots(chain)] == [10, 30, 25]
    assert third.tasks_in == 0


def test_what_is_left_is_what_will_come_and_has_not_been_done() -> None:
    reporter = ProgressReporter("plain", ["a", "b"])
    assert reporter.left() == [None, None]
    reporter.gauge(0, expected=10)
    assert reporter.left() == [10, None]
    reporter.add(0, done(4, 8))
    reporter.add(1, done(3, 3))
    assert reporter.left() == [6, 17]


def test_a_stage_ends_no_earlier_than_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    slow, fast = stages("slow", "fast")
    slow.expected = 100
    now += 10
    slow.add(done(10, 10, items_in=30))
    fast.add(done(10, 10))
    found = snapshots([slow, fast])
    assert (found[0]["rate"], found[0]["items_rate"], found[0]["eta_s"]) == (1.0, 3.0, 90.0)
    assert found[1]["eta_s"] == 90.0
    slow.add(done(90, 90))
    fast.add(done(90, 90))
    assert [stage["eta_s"] for stage in snapshots([slow, fast])] == [0.0, 0.0]


def test_the_rate_is_that_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    (stage,) = stages("stage")
    for _ in range(100):
        now += 1
        stage.add(done(10, 10))
    for _ in range(100):
        now += 1
        stage.add(done(1, 1))
    assert stage.rates()[0] == pytest.approx(1.0, abs=0.05)
    assert len(stage._history) < 70


class Words(ProcessingStage[Any, Any]):
    """Fails for one text, and makes one task of every word."""

    name = "words"

    def process(self, task: Any) -> Any:
        if "bad" in task.data:
            raise ValueError("bad")
        return [Task("words", [word]) for word in task.data]


def test_items_in_out_and_failed() -> None:
    adapter = StageAdapter(Words(), FailurePolicy(on_task_error=OnTaskError.SKIP))
    outputs, report = adapter.process([Texts("t", ["a", "b"]), Texts("t", ["bad", "c", "d"]), Texts("t", ["e"])])
    assert (report.items_in, report.items_failed, report.items_out) == (6, 3, len(outputs))
    (record,) = report.failures
    assert BatchReport.of_lost((record,), 3).items_failed == 3


class Texts(Task[list[str]]):
    @property
    def num_items(self) -> int:
        return len(self.data)


def test_the_file_tells_all_and_ends_with_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "progress.json"
    usage = iter([None, {"used_bytes": 70, "capacity_bytes": 100, "spilled_bytes": 0, "restored_bytes": 0}] * 99)
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(path))
    monkeypatch.setattr(progress, "store_usage", lambda: next(usage))
    monkeypatch.setattr(progress, "_WRITE_S", 0.01)
    monkeypatch.setattr(progress, "_STORE_S", 0.01)
    monkeypatch.setattr(progress, "_earlier", [])
    record = FailedTaskRecord("b", "0_1", "", 1, "wrong", "")
    with ProgressReporter("plain", ["a", "b"], "p") as reporter:
        reporter.gauge(0, expected=2, workers=3)
        reporter.gauge(0, workers=1)
        reporter.add(0, done(2, 2, node="n1"))
        reporter.add(1, BatchReport(2, 1, 0, 1, 0.1, (record,), "n2", items_in=5, items_failed=4))
        deadline = time.monotonic() + 30
        while (written := json.loads(path.read_text()))["object_store"] is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert written["state"] == "running"
    assert (written["stages"][0]["workers"], written["stages"][0]["workers_peak"]) == (1, 3)
    written = json.loads(path.read_text())
    assert written["state"] == "completed"
    assert (written["stages"][0]["workers"], written["stages"][0]["workers_peak"]) == (0, 3)
    assert written["totals"] == {"tasks_failed": 1, "items_failed": 4, "rows_failed": 0}
    assert written["nodes"] == {"n1": 1, "n2": 1}
    with ProgressReporter("plain", ["c"], "next") as reporter:
        reporter.add(0, BatchReport(1, 0, 0, 0, 0.1, (record,), "n2", items_in=5, items_failed=5))
    following = json.loads(path.read_text())
    assert following["totals"] == {"tasks_failed": 2, "items_failed": 9, "rows_failed": 0}
    (earlier,) = following["earlier"]
    assert (earlier["pipeline"], earlier["state"], earlier["tasks_failed"]) == ("p", "completed", 1)
    assert written["object_store"] | {"restored_bytes": 0} == {
        "used_bytes": 70, "peak_bytes": 70, "capacity_bytes": 100, "spilled_bytes": 0, "restored_bytes": 0
    }  # fmt: skip


def test_workers_on_ray_data_are_told_by_what_they_report() -> None:
    now = 0.0
    workers = DataWorkers(lambda: now)
    workers.join([1, 2], "actor")
    workers.begin(0, "x", "task-1")
    workers.begin(0, "y", "task-2")
    assert workers.count() == {0: 2, 1: 1, 2: 1}
    workers.end("x")
    workers.begin(0, "y", "task-3")  # task-2 died
    assert workers.count()[0] == 2
    now += RECENT_S
    assert workers.count()[0] == 1
    workers.end("y")
    workers.leave([1, 2], "actor")
    now += RECENT_S
    assert workers.count() == {0: 0, 1: 0, 2: 0}
