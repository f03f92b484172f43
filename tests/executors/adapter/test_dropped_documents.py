"""Documents that are shown: those that filters name, and those that are told from what went in and what came out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.executors import AudioTask, DocumentBatch, ProcessingStage, Task
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.adapter.dropped_documents import compared
from curator_slurm.executors.document_samples import DocumentSample, SampleLimits, cut, in_short
from curator_slurm.executors.run.sample_file import SAMPLES, SampleFile
from curator_slurm.executors.stages import Filter, ScoreFilter

LIMITS = SampleLimits(2, 100, (), ("secret",))


class Longer:
    """Scores by length."""

    def __init__(self, least: int) -> None:
        self.least = least

    def score_document(self, text: str) -> int:
        return len(text)

    def keep_document(self, score: int) -> bool:
        return score >= self.least


class Call(ProcessingStage[Any, Any]):
    """Somebody else's stage: whatever the function makes of a frame."""

    name = "strange"

    def __init__(self, function: Any, batch_size: int = 1) -> None:
        self.function, self.batch_size = function, batch_size

    def process(self, task: Any) -> Any:
        return self.function(task)

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        return [self.function(task) for task in tasks]


def batch(*texts: str, arrow: bool = True) -> DocumentBatch:
    columns = {"text": list(texts), "secret": ["hush"] * len(texts)}
    return DocumentBatch("d", pa.table(columns) if arrow else pd.DataFrame(columns))


def shown(stage: Any, *tasks: Any, limits: SampleLimits = LIMITS) -> list[tuple[str, bool, str, dict[str, str]]]:
    adapter = StageAdapter(stage, samples=limits)
    reports = [adapter.process([task])[1] for task in tasks]
    return [(each.by, each.kept, each.why, dict(each.fields)) for report in reports for each in report.samples]


@pytest.mark.parametrize("arrow", [True, False])
def test_each_filter_of_a_chain_shows_its_own(arrow: bool) -> None:
    stage = ScoreFilter([Longer(2), Longer(4)], "text")
    found = shown(stage, batch("a", "abc", "abcde", "b", "c", "abcdefg", arrow=arrow))
    assert found == [
        ("Longer", True, "3", {"text": "abc"}),
        ("Longer", True, "5", {"text": "abcde"}),
        ("Longer", False, "1", {"text": "a"}),
        ("Longer", False, "1", {"text": "b"}),
    ]
    chain = shown(Filter([lambda text: text != "a", str.isupper], "text"), batch("a", "b", "C", arrow=arrow))
    assert {by for by, *_ in chain} == {"<lambda>", "isupper"}
    assert ("isupper", False, "b", {"text": "b"}) in chain


def test_enough_is_enough() -> None:
    found = shown(ScoreFilter(Longer(2), "text"), *(batch("a", "abc") for _ in range(9)))
    assert len(found) == 4
    assert StageAdapter(ScoreFilter(Longer(2), "text")).process([batch("a")])[1].samples == ()


def without_b(task: Any) -> Any:
    """In place, as some filters of others do it."""
    frame = task.to_pandas()
    task.data = frame[frame["text"] != "b"]
    return task


@pytest.mark.parametrize("arrow", [True, False])
def test_rows_that_do_not_come_out_are_told_apart(arrow: bool) -> None:
    found = shown(Call(without_b), batch("a", "b", "c", arrow=arrow))
    assert found == [
        ("strange", True, "", {"text": "a"}),
        ("strange", False, "", {"text": "b"}),
        ("strange", True, "", {"text": "c"}),
    ]
    assert shown(Call(lambda _: None), batch("a", arrow=arrow)) == [("strange", False, "", {"text": "a"})]
    empty = shown(Call(lambda task: DocumentBatch("d", task.to_pandas().iloc[:0])), batch("a", arrow=arrow))
    assert empty == [("strange", False, "", {"text": "a"})]


def test_batches_are_told_apart_too() -> None:
    adapter = StageAdapter(Call(without_b, 2), samples=LIMITS)
    _, report = adapter.process([batch("b", "x"), batch("y", "b")])
    assert sorted((each.kept, each.fields["text"]) for each in report.samples) == [
        (False, "b"), (False, "b"), (True, "x"), (True, "y"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.iloc[::-1],  # another order
        lambda frame: frame.assign(text=frame["text"] + "!").iloc[:2],  # other rows
        lambda frame: pd.concat([frame, frame]),  # more
        lambda frame: frame.iloc[[2, 0]],
        lambda frame: frame.rename(columns={"text": "t", "secret": "s"}).iloc[:1],
        lambda frame: frame,  # nothing is dropped
    ],
)
def test_what_is_not_sure_is_not_shown(change: Any) -> None:
    assert shown(Call(lambda task: DocumentBatch("d", change(task.to_pandas()))), batch("a", "b", "c")) == []


def test_tasks_that_are_one_document() -> None:
    stage = Call(lambda task: task if task.data["n"] > 1 else None)
    tasks = [AudioTask(data={"n": number, "secret": "hush"}) for number in (5, 1, 2)]
    assert [(kept, fields) for _, kept, _, fields in shown(stage, *tasks)] == [(False, {"n": "1"}), (True, {"n": "2"})]
    assert shown(Call(lambda _: None), Task("d", 1), Task("d", [1, 2])) == []


@given(st.lists(st.integers(0, 9), max_size=12), st.data())
def test_no_row_that_came_out_is_called_dropped(numbers: list[int], data: st.DataObject) -> None:
    flags = data.draw(st.lists(st.booleans(), min_size=len(numbers), max_size=len(numbers)))
    out = [number for number, keep in zip(numbers, flags, strict=True) if keep]
    data.draw(st.randoms()).shuffle(out) if data.draw(st.booleans()) else None
    kept = compared([{"n": number} for number in numbers], [{"n": number} for number in out])
    assert not {number for number, keep in zip(numbers, kept, strict=False) if not keep} & set(out)


def test_fields_are_chosen_cut_and_hidden() -> None:
    limits = SampleLimits(1, 20, ("text", "secret", "other"), ("secret",))
    ((_, _, _, fields),) = shown(Filter(lambda _: False, "text"), batch("x" * 1000), limits=limits)
    assert fields == {"text": "x" * 19 + "…"}
    found = cut({"id": 7, "a": "y" * 50, "b": "z" * 50}, 41)
    assert found == {"id": "7", "a": "y" * 19 + "…", "b": "z" * 19 + "…"}
    assert sum(map(len, found.values())) <= 41


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"123", "3 bytes"), (0.1 + 0.2, "0.3"), (np.int64(3), "3"), (None, "None"), (Rude(), "<Rude instance")],
)
def test_any_value_is_a_short_text(value: Any, text: str) -> None:
    assert in_short(value, 50).startswith(text)
    assert len(in_short(list(range(10**6)), 50)) < 60


def report(*documents: DocumentSample) -> BatchReport:
    return BatchReport(1, 1, 0, 1, 0.1, samples=documents)


def test_the_driver_keeps_the_first_of_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "samples.jsonl"
    assert SampleFile("p").limits is None
    said = {"file": str(path), "documents": 2, "characters": 10, "fields": [], "hidden": ["secret"]}
    monkeypatch.setenv(SAMPLES, json.dumps(said))
    kept = SampleFile("p")
    assert kept.limits == SampleLimits(2, 10, (), ("secret",))
    documents = [DocumentSample("f", number % 2 == 0, "", {"n": str(number)}) for number in range(8)]
    kept.add(1, "stage", report(*documents[:3]))
    kept.add(1, "stage", report(*documents))  # the task of the first three ran again
    kept.add(2, "another", report(*documents[:1]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["stage"], line["fields"]["n"]) for line in lines] == [
        ("stage", "0"), ("stage", "1"), ("stage", "2"), ("stage", "3"), ("another", "0"),
    ]  # fmt: skip
    assert path.stat().st_mode & 0o077 == 0
    os.environ[SAMPLES] = json.dumps({**said, "file": str(tmp_path / "gone" / "x")})
    broken = SampleFile("p")
    broken.add(1, "stage", report(documents[0]))
    broken.add(1, "stage", report(documents[1]))
