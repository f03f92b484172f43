"""Runs on the actor pool that a full cluster, or what stages do at their end, must not stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_runs import MARKS, Run, runner
from xenna_ray import TestRay, start_ray

from curator_slurm.executors import ProcessingStage, Resources, Task

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


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[TestRay]:
    with start_ray(cpus=2, store_mb=STORE_MB) as ray:
        yield ray


@pytest.fixture
def run(two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner("ray_actor_pool", two_cpus, monkeypatch)


def test_a_stage_with_as_many_workers_as_cpus_lets_the_next_one_run(run: Run, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    outputs: list[Task[Any]] = run([Payloads(journal), Weigh()], 60)
    assert [task.data for task in outputs] == [4 << 20] * 60  # more than the store, and the back pressure, take
    assert len(journal.read_text().splitlines()) <= 3
