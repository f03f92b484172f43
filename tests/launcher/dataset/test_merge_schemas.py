"""Merging Parquet files whose columns differ, and publishing without merging what cannot be merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sharded_runs import plan, publish, sharded_run

from curator_slurm.executors import FileGroupTask
from curator_slurm.executors.stages import JsonlReaderStage, ParquetWriter
from curator_slurm.launcher.dataset import assemble as collecting
from curator_slurm.launcher.dataset.assemble import Collected, collect_run
from curator_slurm.launcher.dataset.merge_errors import CannotMergeError
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.registry import Run

CASES = Path(__file__).parents[2] / "cases"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "out"


def made(folder: Path, target: Path | None, *tables: Any, size: str = "1G") -> tuple[Run, Plan]:
    """A run with a Parquet file in each shard, to be merged."""
    output = {"merge": {"target_size": size}, **({"path": str(target)} if target else {})}
    the_plan = plan(folder, output=output)
    run = sharded_run(folder, len(tables), the_plan=the_plan)
    for shard, table in enumerate(tables):
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), folder / "x.parquet")
        publish(run, shard, f"4711_{shard}.0", {"x.parquet": (folder / "x.parquet").read_bytes()})
    return run, the_plan


def collect(run: Run, the_plan: Plan, **options: Any) -> Collected:
    return collect_run(run, the_plan, lambda *_: None, **options)


def merged(target: Path) -> list[dict[str, Any]]:
    return list(pq.ParquetFile(target / "part-00000.parquet").read().to_pylist())


def test_files_whose_columns_differ_a_little_are_merged(tmp_path: Path, target: Path) -> None:
    run, the_plan = made(
        tmp_path,
        target,
        {"id": [0], "text": ["a"], "lang": ["en"], "score": [1], "tags": [[]]},
        {"id": [1], "score": [0.5], "text": ["b"], "tags": [["x"]], "meta": [{"a": 1}]},
        {"id": [2], "lang": pa.nulls(1), "meta": [{"b": "y"}]},
    )
    assert collect(run, the_plan).summary["rows"] == 3
    assert merged(target) == [
        {"id": 0, "text": "a", "lang": "en", "score": 1.0, "tags": [], "meta": None},
        {"id": 1, "text": "b", "lang": None, "score": 0.5, "tags": ["x"], "meta": {"a": 1, "b": None}},
        {"id": 2, "text": None, "lang": None, "score": None, "tags": None, "meta": {"a": None, "b": "y"}},
    ]


def test_all_files_of_the_dataset_get_one_schema(tmp_path: Path, target: Path) -> None:
    run, the_plan = made(tmp_path, target, {"a": [1]}, {"b": ["x"], "a": [0.5]}, size="1")
    collect(run, the_plan)
    files = sorted(target.glob("*.parquet"))
    assert len(files) == 2
    assert {tuple(map(str, pq.read_schema(file))) for file in files} == {
        ("pyarrow.Field<a: double>", "pyarrow.Field<b: string>")
    }


def test_what_pandas_says_of_one_file_is_not_said_of_all(tmp_path: Path, target: Path) -> None:
    tables = [
        pa.table(columns).replace_schema_metadata({"pandas": "{}", "mine": "kept"})
        for columns in ({"a": [1]}, {"b": [1]})
    ]
    run, the_plan = made(tmp_path, target, *tables)
    collect(run, the_plan)
    assert pq.read_schema(target / "part-00000.parquet").metadata == {b"mine": b"kept"}


CONFLICTS = [
    ({"x": ["a"]}, {"x": [1]}, r"column 'x' is string in .*shard-00000/x\.parquet and int64 in .*shard-00001/x"),
    ({"x": [2**53 + 1]}, {"x": [0.5]}, r"column 'x' is int64 in .*shard-00000/x\.parquet, and double"),
    ({"x": [1]}, b"no parquet", r"shard-00001/x\.parquet is not readable as Parquet"),
]


def conflicting(folder: Path, target: Path | None, one: Any, other: Any) -> tuple[Run, Plan]:
    run, the_plan = made(folder, target, one, {"x": [0]} if isinstance(other, bytes) else other)
    if isinstance(other, bytes):
        path = run.paths.shard_outputs(1) / "x.parquet"
        path.write_bytes(other.ljust(path.stat().st_size))
    return run, the_plan


@pytest.mark.parametrize(("one", "other", "message"), CONFLICTS)
def test_what_cannot_be_merged_is_named_and_published_as_it_is(
    tmp_path: Path, target: Path, one: Any, other: Any, message: str
) -> None:
    run, the_plan = conflicting(tmp_path, target, one, other)
    for _ in range(2):
        with pytest.raises(CannotMergeError, match=rf"(?s){message}.*collect {run.run_id} --no-merge") as caught:
            collect(run, the_plan)
        assert caught.value.exit_code == StorageError.exit_code
        assert not target.exists()
    result = collect(run, the_plan, merges=False)
    assert (result.is_complete, result.summary["merged"], result.summary["files"]) == (True, False, 2)
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert {path.parent.name for path in target.glob("*/x.parquet")} == {"shard-00000", "shard-00001"}
    for merges in (True, False):
        assert collect(run, the_plan, merges=merges).summary["merged"] is False
    assert len(list(target.glob("*/x.parquet"))) == 2


def test_without_a_path_it_stays_in_the_run_directory(tmp_path: Path) -> None:
    run, the_plan = conflicting(tmp_path, None, *CONFLICTS[0][:2])
    result = collect(run, the_plan, merges=False)
    assert (result.target, result.is_complete) == (run.paths.outputs, True)
    assert read_json(run.paths.collected)["merged"] is False


def test_a_merged_dataset_stays_merged(tmp_path: Path, target: Path) -> None:
    run, the_plan = made(tmp_path, target, {"x": [1]}, {"x": [2]})
    collect(run, the_plan)
    result = collect(run, the_plan, merges=False)
    assert "merged" in result.note
    assert merged(target) == [{"x": 1}, {"x": 2}]


def test_a_part_that_was_merged_gives_way_to_a_whole_that_is_not(tmp_path: Path, target: Path) -> None:
    run, the_plan = conflicting(tmp_path, target, *CONFLICTS[0][:2])
    done = run.paths.done(1).rename(tmp_path / "done")
    kept = run.paths.shard_outputs(1).rename(tmp_path / "kept")
    assert collect(run, the_plan, partial=True).summary["merged"]
    kept.rename(run.paths.shard_outputs(1))
    done.rename(run.paths.done(1))
    with pytest.raises(CannotMergeError):
        collect(run, the_plan)
    assert merged(target) == [{"x": "a"}]
    assert collect(run, the_plan, merges=False).is_complete
    assert sorted(path.name for path in target.iterdir()) == [
        "_dataset.json",
        "_files.jsonl",
        "shard-00000",
        "shard-00001",
    ]
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_what_was_begun_without_merging_can_be_merged_after_all(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, the_plan = made(tmp_path, target, {"x": [1]}, {"x": [2]})

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(collecting.dataset_record, "write_description", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(run, the_plan, merges=False)
    assert collect(run, the_plan).summary["merged"]
    assert merged(target) == [{"x": 1}, {"x": 2}]


@pytest.mark.parametrize(
    ("case", "rows", "columns"),
    [
        ("date-column-order", 200, {"id": "string", "text": "string", "date": "string"}),
        ("merge-optional-key", 400, {"id": "int64", "text": "string", "lang": "string"}),
    ],
)
def test_files_as_people_have_them(tmp_path: Path, target: Path, case: str, rows: int, columns: dict[str, str]) -> None:
    """Each file of the case is a shard, and is written as a pipeline writes it."""
    tables = []
    for file in sorted((CASES / case / "in").iterdir()):
        documents = JsonlReaderStage().process(FileGroupTask("case", [str(file)]))
        assert documents is not None
        documents.task_id = "0_0"
        (path,) = ParquetWriter(str(tmp_path / file.name)).process(documents).data
        tables.append(pq.ParquetFile(path).read())
    run, the_plan = made(tmp_path, target, *tables)
    collect(run, the_plan)
    table = pq.ParquetFile(target / "part-00000.parquet").read()
    assert {field.name: str(field.type) for field in table.schema} == columns
    assert table.column_names == list(columns)
    assert table.num_rows == rows
    if "lang" in columns:
        assert table.column("lang").null_count == 200
