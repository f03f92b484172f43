"""Executors of others: their stages are counted, and nothing else about them changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import damage
import pytest
from ray import cloudpickle

from curator_slurm.executors import EmptyTask, Pipeline, ProcessingStage, Task
from curator_slurm.executors.run.watched import FOLDER, _sums, watched


class Numbers(ProcessingStage[Any, Any]):
    """Ten numbers."""

    name = "numbers"

    def process(self, task: Any) -> list[Task[int]]:
        return [Task("numbers", number) for number in range(10)]


class Odd(ProcessingStage[Any, Any]):
    """Keeps the odd ones; remembers what it was set up with."""

    name = "odd"

    def setup(self, worker_metadata: Any = None) -> None:
        self.ready = True

    def process(self, task: Any) -> Any:
        assert self.ready
        return task if task.data % 2 else None


class Foreign:
    """Sends stages to its workers as others do: pickled, and calls nothing but what a stage has."""

    flavour = "sweet"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        tasks: list[Any] = initial_tasks or [EmptyTask()]
        for stage in stages:
            for worker in (0, 1):
                there = cloudpickle.loads(cloudpickle.dumps(stage))
                there.setup()
                mine = tasks[worker::2]
                made = [task for task in there.process_batch(mine) if task is not None] if mine else []
                tasks = tasks if worker == 0 else [*self.made, *made]
                self.made = made
        if self.error:
            raise self.error
        return tasks


def test_counts_of_all_workers_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    executor = watched(Foreign())
    pipeline = Pipeline("p", stages=[Numbers(), Odd()])
    results = pipeline.run(executor)
    assert sorted(task.data for task in results or []) == [1, 3, 5, 7, 9]
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["backend"], progress["state"]) == ("Foreign", "completed")
    assert len({stage["kind"] for stage in progress["stages"]} - {""}) == 1
    found = [(s["tasks_in"], s["tasks_out"], s["tasks_filtered"]) for s in progress["stages"]]
    assert found == [(1, 10, 0), (10, 5, 5)]
    assert not (tmp_path / FOLDER).exists()
    assert all("process_batch" not in vars(stage) for stage in pipeline.stages)
    assert executor.flavour == "sweet"


def test_an_error_of_the_executor_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    with pytest.raises(ValueError, match="sour"):
        Pipeline("p", stages=[Numbers()]).run(watched(Foreign(ValueError("sour"))))
    assert json.loads((tmp_path / "progress.json").read_text())["state"] == "failed"


def test_nothing_is_counted_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CURATOR_SLURM_PROGRESS", raising=False)
    assert len(Pipeline("p", stages=[Numbers(), Odd()]).run(watched(Foreign())) or []) == 5


@pytest.mark.parametrize("kind", damage.IN_PLACE)
def test_the_file_of_a_worker_that_is_damaged(tmp_path: Path, kind: str) -> None:
    (tmp_path / "0-n1.site-12-ab.json").write_text('[1, 2, 3, 4, 5, "T"]')
    damage.IN_PLACE[kind](tmp_path / "0-n2.site-12-cd.json")
    assert _sums(tmp_path) == {0: ([1, 2, 3, 4, 5], "n1", "T")}


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[1]", '[NaN, 1, 1, 1, 1, ""]', '["a", 1, 1, 1, 1, ""]', '[1e300, 1, 1, 1, 1, ""]', "7"),
        *("[1, 2, 3, 4, 5]", "[1, 2, 3, 4, 5, 6]", '[1, 2, 3, 4, ""]'),
    ],
)
def test_counts_of_a_worker_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "0-n1.site-12-ab.json").write_text(text)
    (tmp_path / "a-n1.site-12-ab.json").write_text('[1, 2, 3, 4, 5, ""]')
    assert _sums(tmp_path) == {}
