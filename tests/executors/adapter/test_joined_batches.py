"""Stages that make one task of several: what they get must not depend on workers that died."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from engines import WITH_BATCH, engines
from ray_runs import MARKS, make, runner
from xenna_ray import TestRay
from xenna_stages import Number, Step, numbers

from curator_slurm.executors import EmptyTask, Pipeline, ProcessingStage, Resources
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.tasks import assign_root_task_ids

pytestmark = MARKS


class Sum(Step):
    """One task of each batch; its worker is killed once, in the middle of one."""

    def __init__(self, once: Path | None = None) -> None:
        super().__init__("sum", 4, cpus=0.5)
        self.once = once

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        if self.once and not self.once.exists() and any(task.data == 9 for task in tasks):
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [Number("numbers", sum(task.data for task in tasks))]


class Pass(ProcessingStage[Any, Any]):
    """Task by task."""

    name = "pass"
    resources = Resources(cpus=0.5)
    batch_size = 1

    def process(self, task: Any) -> Any:
        return task


class Count(Step):
    """One task of each batch: how many there were, and which."""

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        counted = Number("numbers", len(tasks))
        counted._metadata["counted"] = [task.task_id for task in tasks]
        return [counted]


class Source(Pass):
    """Thirty tasks of the one that starts a pipeline, without saying so."""

    def process(self, task: Any) -> Any:
        assert type(task) is EmptyTask
        return [Number("numbers", index) for index in range(30)]


@engines("ray_actor_pool", of=WITH_BATCH)
def test_a_batch_whose_worker_was_killed_is_done_whole_again(
    backend: str, two_cpus: TestRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = numbers(16)
    assign_root_task_ids(tasks)
    sums = [one for start in range(0, 16, 4) for one in StageAdapter(Sum()).process_batch(tasks[start : start + 4])]
    undisturbed = [
        (task.task_id, task.data) for one in sums for task in StageAdapter(Step("next")).process_batch([one])
    ]
    assert [data for _, data in undisturbed] == [6, 22, 38, 54]
    outputs = runner(backend, two_cpus, monkeypatch)([Sum(tmp_path / "once"), Step("next")], 16)
    assert (tmp_path / "once").exists()
    assert sorted((task.task_id, task.data) for task in outputs) == sorted(undisturbed)


@engines("ray_data", of=WITH_BATCH)
def test_a_stage_that_joins_tasks_gets_full_batches(
    backend: str, two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_full_batches(runner(backend, two_cpus, monkeypatch)([Pass(), Count("count", 8, cpus=0.5)], 30))


@engines("xenna", of=WITH_BATCH)
def test_it_gets_them_of_a_source_too(backend: str, two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in two_cpus.env.items():
        monkeypatch.setenv(name, value)
    stages = [Source(), Pass(), Count("count", 8, cpus=0.5)]
    assert_full_batches(Pipeline("empty", stages=stages).run(make(backend)) or [])


def assert_full_batches(outputs: list[Any]) -> None:
    assert sorted(task.data for task in outputs) == [6, 8, 8, 8]
    counted = sorted(task_id for task in outputs for task_id in task._metadata["counted"])
    assert counted == sorted(f"0_{number}_0" for number in range(30))
