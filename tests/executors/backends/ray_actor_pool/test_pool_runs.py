"""Runs on the actor pool that a full cluster, or what stages do at their end, must not stop."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_runs import MARKS, Run, runner, values
from xenna_ray import TestRay, start_ray

from curator_slurm.executors import ProcessingStage, Resources, Task
from curator_slurm.executors.backends.ray_actor_pool import teardown

pytestmark = MARKS

STORE_MB = 100


class Payloads(ProcessingStage[Any, Any]):
    """Makes four megabytes of each number, on as many workers as there are CPUs."""

    name = "payloads"
    resources = Resources(cpus=1)

    def __init__(self, journal: Path) -> None:
        self._journal = journal

    def num_workers(self) -> int:
        return 2

    def setup(self, worker_metadata: Any = None) -> None:
        with self._journal.open("a") as journal:
            journal.write("setup\n")

    def process(self, task: Any) -> Any:
        task.data = bytes(4 << 20)
        return task


class Weigh(ProcessingStage[Any, Any]):
    name = "weigh"
    resources = Resources(cpus=1)

    def process(self, task: Any) -> Any:
        task.data = len(task.data)
        return task


class BadEnd(ProcessingStage[Any, Any]):
    """Raises in `teardown`, or does not come back from it."""

    resources = Resources(cpus=0.5)

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self.name = name
        self._seconds = seconds

    def process(self, task: Any) -> Any:
        return task

    def teardown(self) -> None:
        time.sleep(self._seconds)
        raise RuntimeError("no such handle")


class Joint(ProcessingStage[Any, Any]):
    """Adds up a batch; the first worker dies at it."""

    name = "joint"
    resources = Resources(cpus=1)
    batch_size = 4

    def __init__(self, once: Path) -> None:
        self._once = once

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        if not self._once.exists():
            self._once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        tasks[0].data = sum(task.data for task in tasks)
        return tasks[:1]

    def process(self, task: Any) -> Any:
        raise NotImplementedError


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[TestRay]:
    with start_ray(cpus=2, store_mb=STORE_MB, dashboard=False) as ray:
        yield ray


@pytest.fixture
def run(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner("ray_actor_pool", two_cpus, monkeypatch)


def test_a_stage_with_as_many_workers_as_cpus_lets_the_next_one_run(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    outputs: list[Task[Any]] = run([Payloads(journal), Weigh()], 60)
    assert [task.data for task in outputs] == [4 << 20] * 60  # more than the store, and the back pressure, take
    assert len(journal.read_text().splitlines()) < 10  # two, and what comes again after a pause; not one for each task


def test_a_teardown_that_fails_or_hangs_is_a_warning(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(teardown, "TEARDOWN_S", 5.0)
    with caplog.at_level(logging.WARNING):
        outputs = run([BadEnd("raises"), BadEnd("hangs", 1000.0)], 8)
    assert values(outputs) == list(range(8))
    said = [record.getMessage() for record in caplog.records]
    assert any("teardown of stage 'raises' failed" in line and "no such handle" in line for line in said)
    assert any("teardown of stage 'hangs' takes more than 5 s" in line for line in said)


def test_a_batch_whose_worker_dies_once_gives_what_it_gives_in_a_clean_run(run: Run, tmp_path: Path) -> None:
    assert values(run([Joint(tmp_path / "once")], 8)) == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]
