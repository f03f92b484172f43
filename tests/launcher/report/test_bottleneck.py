"""The limiting cause is named rightly where one was planted, and none where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import reported_runs
from reported_runs import T0

from curator_slurm.launcher.files import append_jsonl
from curator_slurm.launcher.report.bottleneck import full_store, late_shard, limiting_stage, slow_start, small_store
from curator_slurm.launcher.report.gather_report import DriverRecord
from curator_slurm.launcher.report.over_time import stage_series
from curator_slurm.launcher.report.report_model import ShardBar, Timeline
from curator_slurm.launcher.report.samples import driver_samples
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.status.shard_status import ShardState


@pytest.fixture
def attempt(tmp_path: Path) -> AttemptPaths:
    found = AttemptPaths(tmp_path / "attempts" / "00000" / "1.0", RunPaths(tmp_path))
    found.root.mkdir(parents=True)
    return found


def driver(attempt: AttemptPaths) -> DriverRecord:
    stages, stores = driver_samples(attempt.metrics)
    return DriverRecord(shard=0, attempt=attempt.name, progress=None, stages=stages, stores=stores)


@pytest.mark.parametrize(
    ("busy", "limiting"),
    [
        ({"reader": 0.1, "slow filter": 0.97, "writer": 0.2}, "slow filter"),
        ({"reader": 0.2, "few GPUs": 0.99, "writer": 0.6}, "few GPUs"),
        ({"slow reader": 0.9, "filter": 0.3, "writer": 0.1}, "slow reader"),
        ({"reader": 0.2, "filter": 0.3, "writer": 0.1}, None),
    ],
)
def test_the_stage_whose_workers_have_most_to_do(
    attempt: AttemptPaths, busy: Mapping[str, float], limiting: str | None
) -> None:
    reported_runs.measure_stages(attempt, T0, dict(busy))
    found = limiting_stage(stage_series([driver(attempt)]))
    assert found is not None
    assert found.stage == limiting
    assert all(
        f"{share:.0%}" in " ".join(found.evidence) for share in ([max(busy.values())] if limiting else busy.values())
    )


def test_of_a_workflow_the_pipeline_that_took_longest_counts(attempt: AttemptPaths) -> None:
    reported_runs.measure_stages(attempt, T0, {"only": 1.0}, pipeline="long")
    text = attempt.metrics.read_text().splitlines()
    reported_runs.measure_stages(attempt, T0 + 100, {"other": 1.0}, pipeline="short")
    short = attempt.metrics.read_text().splitlines()[len(text) :]
    attempt.metrics.write_text("\n".join([*text, *short[:5]]) + "\n")
    found = limiting_stage(stage_series([driver(attempt)]))
    assert found is not None
    assert found.stage == "only"


@pytest.mark.parametrize(("cpus", "words"), [(0.95, "no room for more"), (0.2, "CPUs were left"), (0.7, "most to do")])
def test_whether_there_was_room(attempt: AttemptPaths, cpus: float, words: str) -> None:
    reported_runs.measure_stages(attempt, T0, {"filter": 0.9})
    found = limiting_stage(stage_series([driver(attempt)]), cpus)
    assert found is not None
    assert found.reason.endswith(words)


@pytest.mark.parametrize(("used", "spilled", "full"), [(0.95, 0.0, True), (0.3, 0.5, True), (0.6, 0.01, False)])
def test_a_full_object_store(attempt: AttemptPaths, used: float, spilled: float, full: bool) -> None:
    reported_runs.store_lines(attempt, T0, used, spilled)
    found = full_store([driver(attempt)])
    assert (found is not None) is full
    if found is not None:
        assert "object store" in found.reason


def measured(attempt: AttemptPaths, stage: str, position: int, **columns: list[float]) -> None:
    """Lines of a stage, two seconds apart."""
    for number, values in enumerate(zip(*columns.values(), strict=True)):
        line = {"time": T0 + 2 * number, "pipeline": "p", "stage": stage, "position": position}
        append_jsonl(attempt.metrics, {**line, **dict(zip(columns, values, strict=True))})


def test_a_stage_that_was_busy_for_a_moment_is_not_the_one(attempt: AttemptPaths) -> None:
    measured(attempt, "read", 0, busy_s=[0, 2, 4, *[4] * 8], workers=[1, 1, 1, *[0] * 8], queued=[9, 9, 0, *[0] * 8])
    busy = [0, 0, 0, *(10.2 * number for number in range(1, 9))]
    measured(attempt, "filter", 1, busy_s=busy, workers=[6] * 11, queued=[0, 50, 90, 80, 70, 60, 50, 40, 30, 20, 9])
    found = limiting_stage(stage_series([driver(attempt)]))
    assert found is not None
    assert found.stage == "filter"
    assert "read" not in found.reason


def test_a_stage_that_tasks_waited_for_while_its_workers_started(attempt: AttemptPaths) -> None:
    measured(attempt, "filter", 0, busy_s=[0, 0, 0, 0, 0, 12, 24], workers=[6] * 7, queued=[90] * 7)
    found = limiting_stage(stage_series([driver(attempt)]))
    assert found is not None
    assert found.stage == "filter"
    assert "its workers were started or waited" in found.reason
    attempt.metrics.unlink()
    measured(attempt, "filter", 0, busy_s=[0, 0, 0, 0, 0, 12, 24], workers=[6] * 7, queued=[1] * 7)
    found = limiting_stage(stage_series([driver(attempt)]))
    assert found is not None
    assert found.stage is None


@pytest.mark.parametrize(("task", "full", "small"), [(300, True, True), (100, False, False), (200, False, True)])
def test_an_object_store_without_room_for_another_task(
    attempt: AttemptPaths, task: int, full: bool, small: bool
) -> None:
    reported_runs.store_lines(attempt, T0, 0.75)
    for position in range(3):
        size = 10.0 * task if position else 10.0
        measured(attempt, f"stage {position}", position, tasks_out=[0, 10], bytes_out=[0, size])
    found = full_store([driver(attempt)])
    assert (found is not None) is full
    found = small_store([driver(attempt)])
    assert (found is not None) is small
    if found is not None:
        assert f"{1000 // task} of them for 3 stages" in found.evidence[0]


def test_what_went_to_disk_before_counts_for_nothing(attempt: AttemptPaths) -> None:
    for second in range(3):
        line = {"time": T0 + second, "store_used": 300, "store_capacity": 1000, "store_spilled": 900}
        append_jsonl(attempt.metrics, line)
    assert full_store([driver(attempt)]) is None


def bar(shard: int, started: float, ended: float, size: int = 1000) -> ShardBar:
    return ShardBar(
        shard=shard, state=ShardState.DONE, failure_class=None, attempts=1, started=started, ended=ended, bytes=size,
        rows=None, message="",
    )  # fmt: skip


def test_one_late_shard() -> None:
    bars = [bar(shard, T0, T0 + 100 + shard) for shard in range(10)]
    assert late_shard(bars) is None
    found = late_shard([*bars, bar(10, T0, T0 + 900, size=9000)])
    assert found is not None
    assert found.reason.startswith("shard 10 ")
    assert "took 900 s, the median is 105 s" in found.evidence[0]
    assert "9,000 bytes" in found.evidence[2]
    waves = [bar(shard, T0 + 100 * shard, T0 + 100 * shard + 100) for shard in range(10)]
    assert late_shard(waves) is None  # the last of many is no straggler


def test_a_run_that_started_longer_than_it_worked() -> None:
    found = slow_start(
        Timeline(spans=(), seconds={"waiting in the queue": 900, "Ray starts": 30, "working": 9}, omitted=0)
    )
    assert found is not None
    assert found.evidence == ("the nodes worked for 9 of 39 s", "most of the rest was: Ray starts, 30 s")
    assert slow_start(Timeline(spans=(), seconds={"Ray starts": 30, "working": 60}, omitted=0)) is None
    assert slow_start(Timeline(spans=(), seconds={}, omitted=0)) is None
