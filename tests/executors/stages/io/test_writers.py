from __future__ import annotations

import datetime
import decimal
import gzip
import json
import math
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage_loop import batch, rows, run, write_jsonl

from curator_slurm.executors.stages import (
    JsonlReader,
    JsonlWriter,
    MultiWriter,
    ParquetReader,
    ParquetWriter,
    TextReader,
    TextWriter,
)
from curator_slurm.executors.stages.io.writer import BaseWriter

WRITERS: list[type[Any]] = [JsonlWriter, ParquetWriter, TextWriter]


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("writer", [JsonlWriter, ParquetWriter])
def test_files_are_named_by_task_id_and_handed_on_with_the_metadata(tmp_path: Path, writer: type[Any]) -> None:
    task = batch({"text": ["a"]}, "0_abc_0")
    task._metadata["source_files"] = ["/in/a"]
    stage = writer(str(tmp_path / "new" / "folder"))
    result = stage.process(task)
    assert result.data == [str(tmp_path / "new" / "folder" / f"0_abc_0.{stage.file_extension}")]
    assert result._metadata == {"source_files": ["/in/a"], "format": stage.file_extension}
    assert Path(result.data[0]).is_file()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_task_that_runs_twice_leaves_the_same_bytes_once(tmp_path: Path, writer: type[Any]) -> None:
    stage = pickle.loads(pickle.dumps(writer(str(tmp_path))))
    (first,) = stage.process(batch({"text": ["a"]})).data
    content = Path(first).read_bytes()
    stage.process(batch({"text": ["a"]}))
    assert names(tmp_path) == [Path(first).name]
    assert Path(first).read_bytes() == content


@pytest.mark.parametrize("task_id", ["../up", "a/b", "x" * 300, "", "é ü", ".hidden"])
def test_odd_ids_cannot_leave_the_folder(tmp_path: Path, task_id: str) -> None:
    stage = JsonlWriter(str(tmp_path / "out"))
    if not task_id:
        with pytest.raises(ValueError, match="no task_id"):
            stage.process(batch({"text": ["a"]}, task_id))
        return
    stage.process(batch({"text": ["a"]}, task_id))
    (name,) = names(tmp_path / "out")
    assert name.startswith("t")
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("writer", [JsonlWriter, ParquetWriter])
def test_a_batch_without_rows_leaves_no_file_and_removes_an_old_one(tmp_path: Path, writer: type[Any]) -> None:
    stage = writer(str(tmp_path))
    stage.process(batch({"text": ["a"]}))
    assert stage.process(batch({"text": []})).data == []
    assert names(tmp_path) == []


@pytest.mark.parametrize("writer", [JsonlWriter, ParquetWriter])
def test_rows_without_columns_are_not_lost_silently(tmp_path: Path, writer: type[Any]) -> None:
    task = batch({"text": ["a", "b"]})
    task.data = pd.DataFrame(index=pd.RangeIndex(2))
    with pytest.raises(ValueError, match=r"task 0_a_0.*it has 2 rows and no column"):
        writer(str(tmp_path)).process(task)


@pytest.mark.parametrize("writer", [JsonlWriter, ParquetWriter])
def test_an_error_leaves_what_was_there_and_no_temporary_file(tmp_path: Path, writer: type[Any]) -> None:
    stage = writer(str(tmp_path))
    (path,) = stage.process(batch({"text": ["a"]})).data
    before = Path(path).read_bytes()
    with pytest.raises(ValueError, match="task 0_a_0"):
        stage.process(batch({"text": ["b", object()]}))
    assert names(tmp_path) == [Path(path).name]
    assert Path(path).read_bytes() == before


KILLED = """
import os, signal, sys
from curator_slurm.executors.stages import JsonlWriter, ParquetWriter
sys.path.insert(0, {tests!r})
from stage_loop import batch
import pathlib, builtins
writer = {writer}(sys.argv[1])
real = writer.write_rows
def half(data, sink):
    class Sink:
        written = 0
        def write(self, content):
            sink.write(content[: len(content) // 2]); sink.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        def __getattr__(self, name): return getattr(sink, name)
    real(data, Sink())
writer.write_rows = half
writer.process(batch({{"text": ["x" * 100] * 3000}}))
"""


@pytest.mark.parametrize("writer", ["JsonlWriter", "ParquetWriter"])
def test_a_process_killed_while_it_writes_leaves_no_file_that_counts(tmp_path: Path, writer: str) -> None:
    code = KILLED.format(tests=str(Path(__file__).parents[1]), writer=writer)
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert all(name.startswith(".") for name in names(tmp_path))
    assert run(JsonlReader(str(tmp_path))) == []
    stage: BaseWriter = {"JsonlWriter": JsonlWriter, "ParquetWriter": ParquetWriter}[writer](str(tmp_path))
    stage.process(batch({"text": ["whole"]}))
    reader = JsonlReader if writer == "JsonlWriter" else ParquetReader
    assert rows(run(reader(str(tmp_path)))) == [{"text": "whole"}]


@pytest.mark.parametrize(
    ("extension", "options", "name"),
    [
        ("jsonl.gz", {}, "0_a_0.jsonl.gz"),
        ("jsonl.zst", {}, "0_a_0.jsonl.zst"),
        ("jsonl.bz2", {}, "0_a_0.jsonl.bz2"),
        ("jsonl.xz", {}, "0_a_0.jsonl.xz"),
        ("jsonl", {"compression": "gzip"}, "0_a_0.jsonl.gz"),
        (".jsonl", {"compression": "zstd"}, "0_a_0.jsonl.zst"),
        ("json", {"compression": None}, "0_a_0.json"),
    ],
)
def test_compression(tmp_path: Path, extension: str, options: dict[str, Any], name: str) -> None:
    writer = JsonlWriter(str(tmp_path), file_extension=extension, write_kwargs=options)
    writer.process(batch({"text": ["é"] * 3}))
    assert names(tmp_path) == [name]
    assert rows(run(JsonlReader(str(tmp_path)))) == [{"text": "é"}] * 3


def test_gzip_files_do_not_hold_the_time(tmp_path: Path) -> None:
    JsonlWriter(str(tmp_path), file_extension="jsonl.gz").process(batch({"text": ["a"]}))
    content = (tmp_path / "0_a_0.jsonl.gz").read_bytes()
    assert content[4:8] == b"\0\0\0\0"
    assert gzip.decompress(content) == b'{"text": "a"}\n'


def test_fields_are_written_in_their_order(tmp_path: Path) -> None:
    task = batch({"a": [1], "b": [2], "c": [3]})
    for writer in (JsonlWriter, ParquetWriter):
        (path,) = writer(str(tmp_path), fields=["c", "a"]).process(task).data
        with pytest.raises(ValueError, match=r"column 'd' not found; the batch has \['a', 'b', 'c'\]"):
            writer(str(tmp_path), fields=["d"]).process(task)
    assert pq.read_table(path).column_names == ["c", "a"]
    assert (tmp_path / "0_a_0.jsonl").read_text() == '{"c": 3, "a": 1}\n'


def test_json_of_what_json_has_not(tmp_path: Path) -> None:
    data = pd.DataFrame(
        {
            "value": pd.Series(
                [
                    math.nan,
                    {"deep": [math.inf]},
                    datetime.date(2024, 1, 2),
                    pd.Timestamp("2024-01-02T03:04:05Z"),
                    pd.NaT,
                    decimal.Decimal("1.10"),
                    b"\xff",
                    np.array([1, 2]),
                    np.int64(7),
                    pd.NA,
                    {"b"},
                    "half \ud83d",
                ],
                dtype=object,
            )
        }
    )
    (path,) = JsonlWriter(str(tmp_path)).process(batch(data)).data
    found = [json.loads(line)["value"] for line in Path(path).read_text("utf-8").splitlines()]
    assert found == [
        None,
        {"deep": [None]},
        "2024-01-02",
        "2024-01-02T03:04:05+00:00",
        None,
        "1.10",
        "/w==",
        [1, 2],
        7,
        None,
        ["b"],
        "half \ud83d",
    ]


def test_tables_and_frames_of_others_are_written_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1, 2], "text": ["a", None]}, index=[5, 9])
    expected = [{"n": 1, "text": "a"}, {"n": 2, "text": None}]
    for number, data in enumerate([frame, pa.table({"n": [1, 2], "text": ["a", None]})]):
        for writer, reader in ((JsonlWriter, JsonlReader), (ParquetWriter, ParquetReader)):
            (path,) = writer(str(tmp_path)).process(batch(data, f"0_{number}")).data
            assert rows(run(reader(path))) == expected


def test_parquet_names_the_column_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column 'mixed'"):
        ParquetWriter(str(tmp_path)).process(batch({"fine": [1, 2], "mixed": ["a", 2]}))


def test_modes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    JsonlWriter(str(folder), mode="error").process(batch({"text": ["a"]}, "0_old"))
    with pytest.raises(FileExistsError):
        JsonlWriter(str(folder), mode="error")
    JsonlWriter(str(folder)).process(batch({"text": ["a"]}, "0_new"))
    assert names(folder) == ["0_new.jsonl", "0_old.jsonl"]
    JsonlWriter(str(folder), mode="overwrite").process(batch({"text": ["a"]}, "0_new"))
    assert names(folder) == ["0_new.jsonl"]
    with pytest.raises(NotImplementedError):
        JsonlWriter(str(folder), mode="append")
    with pytest.raises(ValueError, match="mode must be"):
        JsonlWriter(str(folder), mode="replace")


@pytest.mark.parametrize("path", ["/", "/usr", "~"])
def test_overwrite_refuses_folders_that_cannot_be_meant(path: str) -> None:
    with pytest.raises(ValueError, match="would remove"):
        JsonlWriter(path, mode="overwrite")


@pytest.mark.parametrize(
    "make",
    [
        lambda: JsonlWriter(""),
        lambda: JsonlWriter("x", file_extension="a/b"),
        lambda: JsonlWriter("x", write_kwargs={"compresion": "gzip"}),
        lambda: JsonlWriter("x", write_kwargs={"compression": "rar"}),
        lambda: JsonlWriter("x", file_extension="jsonl.gz", write_kwargs={"compression": "zstd"}),
        lambda: JsonlWriter("x", write_kwargs={"lines": False}),
        lambda: ParquetWriter("x", write_kwargs={"index": True}),
        lambda: ParquetWriter("x", write_kwargs={"partition_cols": ["a"]}),
        lambda: TextWriter("x", fields=["a", "b"]),
        lambda: MultiWriter([]),
        lambda: MultiWriter([JsonlWriter("x"), JsonlWriter("x")]),
    ],
)
def test_wrong_arguments_are_told_when_the_writer_is_made(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def test_addresses() -> None:
    store = fsspec.filesystem("memory")
    try:
        (path,) = JsonlWriter("memory://out/deep").process(batch({"text": ["far"]})).data
        assert path == "memory://out/deep/0_a_0.jsonl"
        assert rows(run(JsonlReader("memory://out"))) == [{"text": "far"}]
        with pytest.raises(ValueError):
            JsonlWriter("memory://out/deep").process(batch({"text": [object()]}, "0_b"))
        assert [name.rpartition("/")[2] for name in store.find("/out")] == ["0_a_0.jsonl"]
        JsonlWriter("memory://out/deep").process(batch({"text": []}))
        assert store.find("/out") == []
    finally:
        store.rm("/out", recursive=True)


def test_two_formats_in_one_stage(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in" / "a.jsonl", [{"text": "x"}])
    both = MultiWriter([JsonlWriter(str(tmp_path / "j")), ParquetWriter(str(tmp_path / "p"))])
    (task,) = run(JsonlReader(str(tmp_path / "in")), both)
    assert [Path(path).suffix for path in task.data] == [".jsonl", ".parquet"]
    assert task._metadata["partition_index"] == 0
    assert rows(run(ParquetReader(str(tmp_path / "p")))) == rows(run(JsonlReader(str(tmp_path / "j"))))


def test_text_files_there_and_back(tmp_path: Path) -> None:
    task = batch({"text": ["one\r\n", None, "zwei ü"]})
    files = TextWriter(str(tmp_path), write_kwargs={"encoding": "latin-1"}).process(task).data
    assert [Path(path).name for path in files] == ["0_a_0_00000.txt", "0_a_0_00002.txt"]
    found = rows(run(TextReader(str(tmp_path), read_kwargs={"encoding": "latin-1"})))
    assert [row["text"] for row in found] == ["one\r\n", "zwei ü"]
    assert found[1] == {"text": "zwei ü", "path": files[1], "file_name": "0_a_0_00002.txt", "bytes": 6}
    with pytest.raises(Exception, match=r"0_a_0_00002\.txt: not utf-8"):
        run(TextReader(str(tmp_path)))
    replaced = rows(run(TextReader(str(tmp_path), read_kwargs={"errors": "replace"}, fields=["text"])))
    assert replaced == [{"text": "one\r\n"}, {"text": "zwei \ufffd"}]


TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(['"\\\n', "\u2028\x85\x00", "a,b", "2020-01-01", "null"])
COLUMNS = st.fixed_dictionaries(
    {
        "text": st.none() | TEXT,
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "ok": st.none() | st.booleans(),
        "tags": st.lists(TEXT, max_size=3),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(COLUMNS, min_size=1, max_size=8))
@pytest.mark.parametrize(("writer", "reader"), [(JsonlWriter, JsonlReader), (ParquetWriter, ParquetReader)])
def test_round_trips(tmp_path: Path, writer: Any, reader: Any, documents: list[dict[str, Any]]) -> None:
    columns = {name: [document[name] for document in documents] for name in documents[0]}
    (path,) = writer(str(tmp_path)).process(batch(columns)).data
    assert rows(run(reader(path))) == documents


def test_jsonl_with_the_options_of_pandas(tmp_path: Path) -> None:
    """What only pandas has, it writes, beside what both have."""
    task = batch(pd.DataFrame({"n": [1.23456], "when": [pd.Timestamp("2024-01-02")], "text": ["é"]}))
    options = {"double_precision": 2, "date_format": "iso", "force_ascii": True, "compression": "gzip"}
    (path,) = JsonlWriter(str(tmp_path), write_kwargs=options).process(task).data
    line = gzip.decompress(Path(path).read_bytes()).decode()
    assert line.startswith('{"n":1.23,"when":"2024-01-02T00:00:00.000')
    assert '"text":"\\u00e9"' in line
    table = batch(pa.table({"n": [1.23456]}), "0_b")
    (path,) = JsonlWriter(str(tmp_path), write_kwargs={"double_precision": 1}).process(table).data
    assert Path(path).read_text() == '{"n":1.2}\n'


def test_parquet_with_the_options_of_arrow(tmp_path: Path) -> None:
    options = {"compression": "zstd", "row_group_size": 1, "write_page_index": True, "engine": "pyarrow", "index": None}
    (path,) = ParquetWriter(str(tmp_path), write_kwargs=options).process(batch({"n": [1, 2]})).data
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert (group.num_rows, group.column(0).compression, group.column(0).has_offset_index) == (1, "ZSTD", True)


def test_a_subclass_may_append(tmp_path: Path) -> None:
    (tmp_path / "before").touch()
    writer = JsonlWriter(str(tmp_path), mode="append", append_mode_implemented=True)
    assert writer.process(batch({"text": ["a"]})).data
    assert (tmp_path / "before").exists()
