"""Our readers beside its own: the same options give the same rows, and ids of one generator serve both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = [pytest.mark.filterwarnings("ignore")]

import ray  # noqa: E402
from nemo_curator.stages.deduplication import id_generator as theirs  # noqa: E402
from nemo_curator.stages.text.io.reader.jsonl import JsonlReaderStage  # noqa: E402
from nemo_curator.stages.text.io.reader.parquet import ParquetReaderStage  # noqa: E402
from nemo_curator.tasks import FileGroupTask as TheirTask  # noqa: E402

from curator_slurm.executors import FileGroupTask, stages  # noqa: E402

THEIR_STAGES = {"Jsonl": JsonlReaderStage, "Parquet": ParquetReaderStage}
ROWS = [
    {"text": "one", "n": 1, "day": "2024-01-02", "share": 0.5},
    {"text": "two é", "n": 2, "day": "2024-01-03", "share": None},
    {"text": "", "n": 3, "day": "2024-01-04", "share": 2.0},
]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"Jsonl": [], "Parquet": []}
    for number in range(2):
        jsonl, parquet = tmp_path / f"{number}.jsonl", tmp_path / f"{number}.parquet"
        jsonl.write_text("".join(json.dumps({**row, "file": number}) + "\n" for row in ROWS))
        pd.DataFrame([{**row, "file": number} for row in ROWS]).to_parquet(parquet)
        found["Jsonl"].append(str(jsonl))
        found["Parquet"].append(str(parquet))
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Jsonl", {"engine": "pandas"}),
        ("Jsonl", {"engine": "pandas", "dtype": False}),
        ("Jsonl", {"engine": "pandas", "dtype": {"n": str}}),
        ("Jsonl", {"engine": "pandas", "convert_dates": ["day"]}),
        ("Jsonl", {"engine": "pandas", "nrows": 2}),
        ("Jsonl", {"engine": "pandas", "dtype_backend": "numpy_nullable"}),
        ("Parquet", {}),
        ("Parquet", {"dtype_backend": "numpy_nullable"}),
        ("Parquet", {"use_threads": False}),
        ("Parquet", {"filters": [("n", ">", 1)]}),
        ("Parquet", {"engine": "auto"}),
    ],
)
@pytest.mark.parametrize("fields", [None, ["n", "day"]])
def test_read_kwargs_give_the_same_frame(
    kind: str, options: dict[str, Any], fields: list[str] | None, files: dict[str, list[str]]
) -> None:
    given: dict[str, Any] = {"fields": fields, "read_kwargs": options}
    own = getattr(stages, f"{kind}ReaderStage")(**given).process(FileGroupTask("x", files[kind]))
    expected = THEIR_STAGES[kind](**given).process(TheirTask("x", files[kind]))
    pd.testing.assert_frame_equal(own.to_pandas(), expected.to_pandas())


@pytest.mark.parametrize("allowed", [False, True])
def test_files_without_rows(allowed: bool, tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pd.DataFrame({"text": pd.Series([], dtype=str)}).to_parquet(path)
    for stage, task in ((stages.ParquetReaderStage, FileGroupTask), (ParquetReaderStage, TheirTask)):
        if allowed:
            batch = stage(allow_empty=True).process(task("x", [str(path)]))
            assert (batch.num_items, batch.get_columns()) == (0, ["text"])
        else:
            with pytest.raises(ValueError, match=r"(?i)no (data|rows)"):
                stage().process(task("x", [str(path)]))


@pytest.mark.ray
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_ids_of_one_serve_the_other(first: str, connected: Any, files: dict[str, list[str]]) -> None:
    generators = {"ours": stages, "theirs": theirs}
    readers = {"ours": (stages.JsonlReaderStage, FileGroupTask), "theirs": (JsonlReaderStage, TheirTask)}
    generators[first].create_id_generator_actor()
    ray.init(ignore_reinit_error=True)
    try:
        found = []
        for name, flag in ((first, "_generate_ids"), ("ours", "_assign_ids"), ("theirs", "_assign_ids")):
            stage_class, task_class = readers[name]
            stage = stage_class(**{flag: True})
            stage.setup()
            batches = [stage.process(task_class("x", [path])).to_pandas() for path in files["Jsonl"]]
            found.append(pd.concat(batches)[stages.CURATOR_DEDUP_ID_STR].tolist())
        assert found == [list(range(2 * len(ROWS)))] * 3
        generators[first].kill_id_generator_actor()
    finally:
        ray.shutdown()
