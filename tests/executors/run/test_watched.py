"""Executors of others: their stages are counted, and nothing else about them changes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import damage
import pandas as pd
import pytest
from ray import cloudpickle

from curator_slurm.executors import DocumentBatch, EmptyTask, Pipeline, ProcessingStage, Task
from curator_slurm.executors.run.watched import FOLDER, sums, watched
from curator_slurm.executors.stages import ScoreFilter, WordCountFilter

NAP_S = 0.01


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


class Texts(ProcessingStage[Any, Any]):
    """Two batches of twenty: of four rows two are quiet, one is loud, and one is a single word."""

    name = "texts"

    def process(self, task: Any) -> list[DocumentBatch]:
        kinds = ("quiet {}", "LOUD {}", "{}", "quiet {}")
        texts = [kinds[number % 4].format(number) for number in range(40)]
        return [DocumentBatch(data=pd.DataFrame({"text": half}), dataset_name="d") for half in (texts[:20], texts[20:])]


class NoShouting(ProcessingStage[Any, Any]):
    """Drops what is loud, and does not say so."""

    name = "no_shouting"

    def process(self, task: Any) -> Any:
        time.sleep(NAP_S)
        rows = task.to_pandas()
        task.data = rows[~rows["text"].str.startswith("LOUD")]
        return task


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


def documents(folder: Path) -> list[tuple[str, bool, str]]:
    lines = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    return sorted((line["stage"], line["kept"], line["fields"]["text"]) for line in lines)


def test_bytes_busy_seconds_and_documents_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a filter that says what it drops, and of a stage of which rows before and after are compared."""
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    settings = {"file": str(tmp_path / "samples.jsonl"), "documents": 2, "characters": 20, "fields": [], "hidden": []}
    monkeypatch.setenv("CURATOR_SLURM_SAMPLES", json.dumps(settings))
    words = ScoreFilter(WordCountFilter(min_words=2)).with_(name="words")
    Pipeline("p", stages=[Texts(), words, NoShouting()]).run(watched(Foreign()))
    texts, judged, quiet = json.loads((tmp_path / "progress.json").read_text())["stages"]
    assert [texts["items_out"], judged["items_in"], judged["items_out"], quiet["items_out"]] == [40, 40, 30, 20]
    assert min(judged["bytes_in"], texts["bytes_out"]) > 40 * len("quiet 0")
    assert 30 * len("quiet 0") < quiet["bytes_in"] < judged["bytes_in"]
    assert quiet["busy_s"] >= 2 * NAP_S
    assert documents(tmp_path) == [
        *[("no_shouting", False, f"LOUD {number}") for number in (1, 5)],
        *[("no_shouting", True, f"quiet {number}") for number in (0, 3)],
        *[("words", False, str(number)) for number in (2, 6)],
        *[("words", True, text) for text in ("LOUD 1", "quiet 0")],
    ]
    assert (tmp_path / "samples.jsonl").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / FOLDER).exists()


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
    (tmp_path / "0-n1.site-12-ab.json").write_text('[1, 2, 3, 4, 5, 6, 7, 8, "T"]')
    damage.IN_PLACE[kind](tmp_path / "0-n2.site-12-cd.json")
    assert sums(tmp_path) == {0: ([1, 2, 3, 4, 5, 6, 7, 8], "n1", "T")}


@pytest.mark.parametrize(
    "text",
    [
        *("{}", "[1]", '[NaN, 1, 1, 1, 1, 1, 1, 1, ""]', '["a", 1, 1, 1, 1, 1, 1, 1, ""]', "7"),
        *('[1e300, 1, 1, 1, 1, 1, 1, 1, ""]', "[1, 2, 3, 4, 5, 6, 7, 8]", "[1, 2, 3, 4, 5, 6, 7, 8, 9]", '[1, 2, ""]'),
    ],
)
def test_counts_of_a_worker_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "0-n1.site-12-ab.json").write_text(text)
    (tmp_path / "a-n1.site-12-ab.json").write_text('[1, 2, 3, 4, 5, 6, 7, 8, ""]')
    assert sums(tmp_path) == {}
