from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_loop import LoopExecutor, rows, write_jsonl

from curator_slurm.executors.stages import (
    DocumentStatistics,
    ExactDeduplicationPipeline,
    JsonlReader,
    JsonlWriter,
    summarize,
)

TEXTS = st.sampled_from(["a", "b", "c", "d", "", "\ud83d"])


def documents_in(folder: Path, texts_of_files: list[list[Any]]) -> None:
    for number, texts in enumerate(texts_of_files):
        documents = [{"text": text, "id": f"{number}.{row}"} for row, text in enumerate(texts)]
        write_jsonl(folder / f"{number:03}.jsonl", documents)


def deduplicate(
    folder: Path, work: Path, executor: Any = None, *stages: Any, normalize_text: Any = False, **arguments: Any
) -> list[Any]:
    reader = JsonlReader(str(folder), **arguments)
    pipeline = ExactDeduplicationPipeline(
        "dedup", reader, stages or [DocumentStatistics()], str(work), normalize_text=normalize_text
    )
    return pipeline.run(executor or LoopExecutor()) or []


def ids(tasks: list[Any]) -> list[str]:
    return sorted(row["id"] for row in rows(tasks))


def test_the_first_of_equal_documents_stays(tmp_path: Path) -> None:
    documents_in(tmp_path / "in", [["b", "a", "b"], ["a", "c", None, None], ["c", "", ""]])
    tasks = deduplicate(tmp_path / "in", tmp_path / "work")
    assert ids(tasks) == ["0.0", "0.1", "1.1", "1.2", "1.3", "2.1"]
    assert summarize(tasks)["dropped_by"] == {"duplicate": 4}


FORMS = [
    "A b",
    "a b",
    "a\r\nb ",
    "\u00e9",
    "e\u0301",
    "E\u0301",
    "\ufb01x",
    "fix",
    "\u00df",
    "SS",
    "",
    " \n",
    None,
    None,
]


@pytest.mark.parametrize(
    ("normalize_text", "dropped"),
    [
        (False, []),
        ([], []),
        ("case", [1, 5, 7, 9]),
        (["white_space"], [2, 11]),
        (True, [1, 2, 5, 7, 9, 11]),
        (["NFC"], [4]),
        (["NFC", "case"], [1, 4, 5, 7, 9]),
        (["NFKC"], [4, 7]),
        (["white_space", "NFKC", "case"], [1, 2, 4, 5, 7, 9, 11]),
    ],
)
def test_differences_that_do_not_count(normalize_text: Any, dropped: list[int], tmp_path: Path) -> None:
    documents_in(tmp_path / "in", [[text] for text in FORMS])
    tasks = deduplicate(tmp_path / "in", tmp_path / "work", normalize_text=normalize_text)
    kept = [number for number in range(len(FORMS)) if number not in dropped]
    assert ids(tasks) == sorted(f"{number}.0" for number in kept)
    assert {row["text"] for row in rows(tasks)} == {FORMS[number] for number in kept}, "kept as they were"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("lower", "no step 'lower'; it is true, false, or some of case, white_space, NFC, NFKC"),
        (["case", "NFD"], "no step 'NFD'"),
        (["NFC", "NFKC"], "one Unicode form"),
    ],
)
def test_normalization_that_is_unknown(wrong: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        deduplicate(tmp_path, tmp_path, normalize_text=wrong)


def test_what_was_dropped_for_what_is_on_record(tmp_path: Path) -> None:
    documents_in(tmp_path / "in", [["a"], ["b", "a"]])
    deduplicate(tmp_path / "in", tmp_path / "work")
    (record,) = pq.read_table(tmp_path / "work" / "duplicates.parquet").to_pylist()
    assert (record["row"], record["kept_row"]) == (1, 0)
    assert record["task_id"] != record["kept_task_id"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["duplicates.parquet"]


def test_no_documents_and_no_duplicates(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert deduplicate(tmp_path / "in", tmp_path / "work") == []
    documents_in(tmp_path / "in", [["a"], ["b"]])
    assert ids(deduplicate(tmp_path / "in", tmp_path / "work")) == ["0.0", "1.0"]


@pytest.mark.long
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    st.lists(st.lists(TEXTS, min_size=1, max_size=5), min_size=1, max_size=6),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_neither_the_order_of_work_nor_a_second_run_changes_the_result(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], together: int, chance: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("dedup")
    documents_in(folder / "in", files)

    def shuffled(tasks: list[Any]) -> list[Any]:
        chance.shuffle(tasks)
        return tasks

    first: dict[str, str] = {}
    for number, texts in enumerate(files):
        for row, text in enumerate(texts):
            first.setdefault(text, f"{number}.{row}")
    for order in (None, shuffled, shuffled):
        tasks = deduplicate(folder / "in", folder / "work", LoopExecutor(order), files_per_partition=together)
        assert ids(tasks) == sorted(first.values())


class Changing(LoopExecutor):
    """Changes the input between the passes."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        result = super().execute(stages, initial_tasks)
        self.file.write_text(json.dumps({"text": "other", "id": "new"}) + "\n")
        return result


def test_input_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    documents_in(tmp_path / "in", [["a"], ["a"]])
    with pytest.raises(Exception, match="has changed since the first pass"):
        deduplicate(tmp_path / "in", tmp_path / "work", Changing(tmp_path / "in" / "001.jsonl"))


def test_statistics_add_up(tmp_path: Path) -> None:
    documents_in(tmp_path / "in", [["one two", "one two"], ["three\nfour five"]])
    stages = [DocumentStatistics(), JsonlWriter(str(tmp_path / "out"))]
    found = summarize(deduplicate(tmp_path / "in", tmp_path / "work", None, *stages))
    assert found == {
        "documents_read": 3,
        "documents_kept": 2,
        "documents_dropped": 1,
        "dropped_by": {"duplicate": 1},
        "kept": {
            "documents": 2,
            "characters": 22,
            "bytes": 22,
            "words": 5,
            "lines": 3,
            "words_min": 2,
            "words_max": 3,
        },
    }
    assert summarize([])["documents_read"] == 0
