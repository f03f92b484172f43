"""Lines about stages: when, what, and where storage refuses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.run.progress import ProgressReporter
from curator_slurm.executors.run.stage_progress import StageProgress, bucket_of, snapshots
from curator_slurm.executors.run.stage_samples import METRICS_FILE, StageSamples


def done(tasks: int, seconds: float) -> BatchReport:
    return BatchReport(tasks, tasks, 0, 10 * tasks, seconds, items_in=20 * tasks)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_for_each_stage_and_one_for_the_object_store(tmp_path: Path) -> None:
    stages = [StageProgress("read"), StageProgress("filter")]
    stages[0].add(done(4, 2.0))
    stages[0].set_workers(3)
    samples = StageSamples(tmp_path / "m.jsonl", "p", 100.0)
    store = {"used_bytes": 5, "capacity_bytes": 50, "spilled_bytes": 0, "restored_bytes": 0}
    samples.write(103.0, snapshots(stages), store)
    samples.write(104.0, snapshots(stages), None, [dict(stage.task_seconds) for stage in stages])
    first, second, third, *last = lines(tmp_path / "m.jsonl")
    assert first == {
        "time": 103.0, "pipeline": "p", "stage": "read", "position": 0, "tasks_in": 4, "tasks_out": 4,
        "tasks_filtered": 0, "tasks_failed": 0, "items_in": 80, "items_out": 40, "items_failed": 0, "rows_failed": 0,
        "busy_s": 2.0, "workers": 3,
    }  # fmt: skip
    assert (second["stage"], second["queued"]) == ("filter", 4)
    assert third == {"time": 103.0, "store_used": 5, "store_capacity": 50, "store_spilled": 0, "store_restored": 0}
    assert [line["task_seconds"] for line in last] == [{"0.5": 4}, {}]


def test_lines_are_due_at_growing_intervals_and_later_for_many_stages() -> None:
    samples = StageSamples(Path("/nowhere/m.jsonl"), "p", 1000.0)
    assert [samples.are_due(1000.0 + seconds) for seconds in (1, 2)] == [False, True]
    samples.write(1000.0 + 4000, snapshots([StageProgress("a")]), None)
    assert [samples.are_due(5000.0 + seconds) for seconds in (19, 21)] == [False, True]
    many = StageSamples(Path("/nowhere/m.jsonl"), "p", 0.0)
    many.write(0.0, snapshots([StageProgress(str(number)) for number in range(40)]), None)
    assert [many.are_due(seconds) for seconds in (7.0, 8.0)] == [False, True]


def test_storage_that_refuses_is_told_once_and_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = StageSamples(tmp_path / "gone" / "m.jsonl", "p", 0.0)
    for _ in range(3):
        samples.write(1.0, snapshots([StageProgress("a")]), None)
    assert caplog.text.count("measured no more") == 1


def test_a_reporter_adds_its_last_lines_with_histograms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_FILE, str(tmp_path / "m.jsonl"))
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    with ProgressReporter("plain", ["a"], "p") as reporter:
        reporter.gauge(0, workers=2)
        reporter.add(0, done(2, 3.0))
    last = [line for line in lines(tmp_path / "m.jsonl") if "task_seconds" in line]
    assert [(line["stage"], line["tasks_in"], line["task_seconds"]) for line in last] == [("a", 2, {"2": 2})]
    written = json.loads((tmp_path / "progress.json").read_text())
    assert written["stages"][0]["busy_s"] == 3.0


@pytest.mark.parametrize(("seconds", "bucket"), [(1e-9, 2**-10), (0.3, 0.5), (0.5, 0.5), (3.0, 4.0), (1e9, 2**15)])
def test_buckets_are_powers_of_two(seconds: float, bucket: float) -> None:
    assert bucket_of(seconds) == bucket
