"""What XennaExecutor alone has, on a real Ray, with whatever cosmos-xenna is installed: see also test_backends.py."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_runs import Run, runner, values
from xenna_ray import TestRay, start_ray
from xenna_stages import Environment, KeepEven, Raise, Step

from curator_slurm.executors.backends.xenna import planning
from curator_slurm.executors.backends.xenna.plans import Counts
from curator_slurm.executors.backends.xenna.run import XennaRun

pytestmark = pytest.mark.ray


@pytest.fixture
def run(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner("xenna", two_cpus, monkeypatch)


def test_ignore_failures_of_one_stage(run: Run) -> None:
    lenient = Raise("picky").with_(xenna_stage_spec={"ignore_failures": True})
    assert len(run([lenient, Step("c")])) == 19


def test_workers_are_limited(run: Run) -> None:
    few = run([Environment("env", cpus=0.25)], max_workers_per_stage=1)
    assert len({task._metadata["pid"] for task in few}) == 1
    few = run([Environment("env", cpus=0.25).with_(ray_stage_spec={"max_workers": 1})])
    assert len({task._metadata["pid"] for task in few}) == 1


def test_the_drivers_environment_is_left_alone_and_no_time_is_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XENNA_RAY_METRICS_PORT", "9999")
    before = dict(os.environ)
    slept, sleep = [0.0], time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    run([Step("a")], 2)
    assert max(slept) < 5  # the engine would sleep ten seconds at the end
    assert dict(os.environ) == before


def test_the_engines_own_monitor_finds_the_dashboard_of_this_ray(run: Run) -> None:
    assert len(run([Step("a", cpus=0.5)], 4, resource_monitor=True)) == 4


def test_tiny_batches_share_a_call_and_keep_their_size(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[int, list[int]] = {}
    record = XennaRun.on_report

    def on_report(self: XennaRun, stage: int, report: Any, chunks: Any) -> None:
        calls.setdefault(stage, []).append(report.batches)
        record(self, stage, report, chunks)

    monkeypatch.setattr(XennaRun, "on_report", on_report)
    stages = [Step("a", 4, cpus=0.5), KeepEven("even", 1, cpus=0.5), Step("c", 2, cpus=0.5)]
    outputs = run(stages, 1200)
    assert values(outputs) == list(range(0, 1200, 2))
    assert {stage: sum(batches) for stage, batches in calls.items()} == {0: 300, 1: 1200, 2: 300}
    assert all(max(batches) > 1 for batches in calls.values())
    assert len(calls[1]) < 1200 / 2
    for task in outputs:
        assert task._metadata["batches"] == {"a": 4, "even": 1, "c": 2}


class Slow(Step):
    """Takes so long for a task, until there is a file."""

    def __init__(self, name: str, seconds: float, until: Path) -> None:
        super().__init__(name, cpus=0.25)
        self.seconds = seconds
        self.until = until

    def process(self, task: Any) -> Any:
        if not self.until.exists():
            time.sleep(self.seconds)
        return super().process(task)


def test_workers_that_a_plan_ends_lose_no_task(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is the engine's own, from what it has measured; followed in any case, to end what is at work."""
    followed = tmp_path / "followed"

    def always(_stages: Any, changes: list[Counts]) -> bool:
        fast, slow = changes
        if fast.removed and slow.added:
            followed.touch()
        return True

    monkeypatch.setattr(planning, "pays", always)
    outputs = run([Slow("fast", 0.05, followed), Slow("slow", 0.2, followed)], 600)
    assert values(outputs) == list(range(600))
    assert followed.exists()


@pytest.fixture(scope="module")
def no_cpu() -> Iterator[TestRay]:
    with start_ray(cpus=0) as ray:
        yield ray


@pytest.fixture
def run_on_little(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner("xenna", request.getfixturevalue(request.param), monkeypatch)


@pytest.mark.parametrize("run_on_little", ["two_cpus", "no_cpu"], indirect=True)  # one CPU: test_backends.py
def test_a_stage_that_asks_for_more_than_there_is(run_on_little: Run) -> None:
    assert values(run_on_little([Step("a"), Step("b", cpus=4), Step("c")], 6)) == list(range(6))


@pytest.mark.parametrize("run_on_little", ["no_cpu"], indirect=True)  # one CPU: test_backends.py
def test_many_stages_on_little(run_on_little: Run) -> None:
    assert values(run_on_little([Step(name) for name in "abcdef"], 6)) == list(range(6))


@pytest.mark.parametrize("run_on_little", ["no_cpu"], indirect=True)
def test_stages_one_after_the_other_on_little(run_on_little: Run) -> None:
    assert values(run_on_little([Step(name) for name in "abc"], 6, execution_mode="batch")) == list(range(6))
