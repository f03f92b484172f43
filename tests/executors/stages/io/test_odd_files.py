"""Files under other names, in other forms, damaged in part; and what a wrong line costs."""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from stage_loop import batch, rows, run, write_jsonl

from curator_slurm.executors import FileGroupTask
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.remarks import _MOST_LINES
from curator_slurm.executors.stages import (
    JsonlReader,
    JsonlReaderStage,
    JsonlWriter,
    ParquetReader,
    ParquetReaderStage,
    ParquetWriter,
    TextReader,
    TextReaderStage,
    TextWriter,
    columns,
)
from curator_slurm.executors.stages.columns import frame, keep_rows
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, StageError

SKIP = FailurePolicy(OnTaskError.SKIP)


def lz4(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def skippable(content: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstandard.compress(content) + b"\x5f\x2a\x4d\x18\0\0\0\0"


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content[:9]) + gzip.compress(content[9:]),
    ".zst": lambda content: zstandard.compress(content[:9]) + skippable(content[9:]),
    ".bz2": lambda content: bz2.compress(content[:9]) + bz2.compress(content[9:]),
    ".xz": lambda content: lzma.compress(content[:9]) + lzma.compress(content[9:]),
    ".lz4": lambda content: lz4(content[:9]) + lz4(content[9:]),
}
LINES = b'{"n": 1, "day": "2024-01-02"}\r\n{"n": 2, "day": "2024-01-03"}'
ROWS = [{"n": 1, "day": "2024-01-02"}, {"n": 2, "day": "2024-01-03"}]


def call(stage: Any, *paths: Path, policy: FailurePolicy = SKIP) -> tuple[list[Any], BatchReport]:
    """A stage on a group of files, under a policy."""
    task = FileGroupTask("test", [str(path) for path in paths], _metadata={"source_files": [str(p) for p in paths]})
    task.task_id = "0_a"
    return StageAdapter(stage, policy).process([task])


def left_out(report: BatchReport) -> list[tuple[str, int | None, int | None]]:
    return [(Path(record.file or "").name, record.line, record.rows) for _, record in report.rows_left_out]


# Names and forms


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", ["part-00000", "data", "x.txt", "x.json", "x.ndjson"])
@pytest.mark.parametrize("options", [{}, {"engine": "pandas"}])
def test_compression_is_known_by_name_or_by_the_first_bytes(
    tmp_path: Path, suffix: str, name: str, options: dict[str, Any]
) -> None:
    for path in (tmp_path / f"{name}{suffix}", tmp_path / name):
        path.write_bytes(COMPRESS[suffix](LINES))
        assert rows(run(JsonlReader(str(path), read_kwargs=options))) == ROWS


def test_text_and_parquet_under_other_names(tmp_path: Path) -> None:
    (tmp_path / "README").write_bytes(gzip.compress(b"BZh1 is no bzip2"))
    assert rows(run(TextReader(str(tmp_path / "README"), fields=["text"]))) == [{"text": "BZh1 is no bzip2"}]
    pq.write_table(pa.table({"n": [1]}), tmp_path / "part-0")
    assert rows(run(ParquetReader(str(tmp_path / "part-*")))) == [{"n": 1}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'[{"a": 1}, {"a": "x"}]', [{"a": 1}, {"a": "x"}]),
        (b'\n[\n{"a": 1},\n{"a": 2}\n]\n', [{"a": 1}, {"a": 2}]),
        (b'{\n  "a": {"b": 1}\n}\n', [{"a": {"b": 1}}]),
        (b'\xef\xbb\xbf{"a": NaN}\n{"a": 1e999}', [{"a": None}, {"a": None}]),
        (b'{"a": 1, "a": 2}\n', [{"a": 2}]),
        (b'{"a": "' + b"x" * (1 << 25) + b'"}', [{"a": "x" * (1 << 25)}]),
        (b'{"a": null}\n{"a": {"b": 1}}\n{"a": []}', [{"a": None}, {"a": {"b": 1}}, {"a": []}]),
        (b'{"a": 18446744073709551615}\n{"a": 1}', [{"a": 2**64 - 1}, {"a": 1}]),
    ],
)
def test_forms_of_json(tmp_path: Path, content: bytes, expected: list[dict[str, Any]]) -> None:
    (tmp_path / "a.json").write_bytes(content)
    found = rows(run(JsonlReader(str(tmp_path))))
    for row in found:
        if (isinstance(row["a"], float) and row["a"] in (float("inf"),)) or row["a"] != row["a"]:
            row["a"] = None
    assert found == expected


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PAR1....", "is a Parquet file; ParquetReader reads it"),
        (b"PK\x03\x04....", "is a zip archive"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16.*encoding"),
        (b'[{"a": 1}, 2]', "element 2: a JSON object is expected, not a number"),
        (b"# Notes", "line 1: not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "line 1: .*digits"),
        (b'{\n "a": 1\n}\n{\n "a": 2\n}\n', "line 1: not JSON.*objects over several lines"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "line 1: the value of 'a' is nested deeper than 200 levels"),
        (b'[{"a": ' + b"[" * 300 + b"]" * 300 + b"}]", "element 1: the value of 'a' is nested deeper than 200"),
    ],
)
def test_what_is_no_json_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(Exception, match=rf"a\.jsonl.*{problem}"):
        run(JsonlReader(str(tmp_path)))


def test_columns_are_in_the_order_of_the_keys_for_both_parsers(tmp_path: Path) -> None:
    documents = [{"z": None, "day": "2024-01-02"}, {"b": "12:00", "day": "2024-01-03", "a": 1}]
    for number, more in enumerate(({}, {"deep": {"x": 1}})):
        path = write_jsonl(tmp_path / f"{number}.jsonl", [{**document, **more} for document in documents])
        (task,) = run(JsonlReader(str(path)))
        assert [name for name in task.get_columns() if name != "deep"] == ["z", "day", "b", "a"]


# Folders that say something


def test_folders_are_columns(tmp_path: Path) -> None:
    for year, lang, part in (("2024", "en", "01"), ("2025", "__HIVE_DEFAULT_PARTITION__", "a%20b")):
        folder = tmp_path / f"year={year}" / f"lang={lang}" / f"part={part}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"text": [f"t{year}"]}), folder / "x.parquet")
        write_jsonl(folder / "x.jsonl", [{"text": f"t{year}"}])
    found = [
        {"text": "t2024", "year": 2024, "lang": "en", "part": "01"},
        {"text": "t2025", "year": 2025, "lang": None, "part": "a b"},
    ]

    def read(reader: Any = ParquetReader, **arguments: Any) -> list[dict[str, Any]]:
        return rows(run(reader(str(tmp_path), files_per_partition=2, **arguments)))

    assert read() == found
    assert read(fields=["year", "text"]) == [{"year": row["year"], "text": row["text"]} for row in found]
    assert read(fields=["year"]) == [{"year": 2024}, {"year": 2025}]
    assert read(read_kwargs={"filters": [("year", ">", 2024)]}) == found[1:]
    assert read(fields=["part"], read_kwargs={"filters": [("lang", "=", "en")]}) == [{"part": "01"}]
    assert read(read_kwargs={"partitioning": None}) == [{"text": "t2024"}, {"text": "t2025"}]
    assert read(JsonlReader) == [{"text": "t2024"}, {"text": "t2025"}]
    assert read(JsonlReader, read_kwargs={"partitioning": "hive"}) == found
    with pytest.raises(ValueError, match="partitioning must be 'hive' or None"):
        JsonlReader("x", read_kwargs={"partitioning": "dir"})


@pytest.mark.parametrize("files_per_partition", [1, 2, 3])
def test_columns_of_folders_have_one_type_in_all_groups(tmp_path: Path, files_per_partition: int) -> None:
    """Shards and groups see some of the folders; `month=01` is text, and `month=12` beside it, too."""
    for year in ("2024", "2025"):
        for month in ("01", "02", "12"):
            folder = tmp_path / f"year={year}" / f"month={month}"
            folder.mkdir(parents=True)
            pq.write_table(pa.table({"n": [1]}), folder / "x.parquet")
    (tmp_path / "year=2024" / "month=12" / "note.txt").write_text("")
    found = rows(run(ParquetReader(str(tmp_path), files_per_partition=files_per_partition)))
    assert found == [{"n": 1, "year": year, "month": month} for year in (2024, 2025) for month in ("01", "02", "12")]
    december = str(tmp_path / "year=2025" / "month=12")
    assert rows(run(ParquetReader(december))) == [{"n": 1, "year": 2025, "month": "12"}]
    assert rows(run(ParquetReader(december, read_kwargs={"filters": [("month", "=", "12")]})))


def test_a_column_of_the_file_has_precedence_over_the_folder(tmp_path: Path) -> None:
    (tmp_path / "year=1999").mkdir()
    pq.write_table(pa.table({"year": [2024]}), tmp_path / "year=1999" / "x.parquet")
    assert rows(run(ParquetReader(str(tmp_path)))) == [{"year": 2024}]


# What a wrong line costs


def test_a_wrong_line_costs_its_row_where_failures_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"n": 1}\n\n{"n": \n[2]\n{"n": 3}\n{"n": "\xff"}\n')
    write_jsonl(tmp_path / "b.jsonl", [{"n": 4}])
    (task,), report = call(JsonlReaderStage(), tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert [row["n"] for row in rows([task])] == [1, 3, 4]
    assert left_out(report) == [("a.jsonl", 3, 1), ("a.jsonl", 4, 1), ("a.jsonl", 6, 1)]
    assert (report.failed_count, report.failures, report.tasks_out) == (3, (), 1)
    record = report.rows_left_out[0][1].to_json()
    assert record.pop("error").startswith(f"ValueError: {tmp_path}/a.jsonl, line 3: not JSON")
    assert record == {
        "stage": "jsonl_reader", "task_id": "0_a", "source": "0_a", "attempt": 1, "traceback": "",
        "file": f"{tmp_path}/a.jsonl", "line": 3, "rows": 1,
    }  # fmt: skip


def test_a_wrong_line_ends_the_run_where_they_are_not(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"n": 1}\n{"n": \n')
    with pytest.raises(StageError, match=r"a\.jsonl, line 2: not JSON"):
        call(JsonlReaderStage(), tmp_path / "a.jsonl", policy=FailurePolicy())


@pytest.mark.parametrize(
    ("stage", "good", "content"),
    [
        (JsonlReaderStage, b'{"n": 1}', gzip.compress(b'{"n": 2}' * 99, mtime=0)[:-9]),
        (JsonlReaderStage, b'{"n": 1}', b"wrong\nin all\nlines"),
        (ParquetReaderStage, None, b"PAR1 no"),
        (lambda: JsonlReaderStage(read_kwargs={"engine": "pandas"}), b'{"n": 1}', b'{"n": '),
    ],
)
def test_a_damaged_file_costs_the_file_and_not_its_group(
    tmp_path: Path, stage: Any, good: bytes | None, content: bytes
) -> None:
    if good is None:
        pq.write_table(pa.table({"n": [1]}), tmp_path / "good")
    else:
        (tmp_path / "good").write_bytes(good)
    (tmp_path / "bad").write_bytes(content)
    (task,), report = call(stage(), tmp_path / "bad", tmp_path / "good")
    assert rows([task]) == [{"n": 1}]
    assert left_out(report) == [("bad", None, 1)]
    outputs, report = call(stage(), tmp_path / "bad")
    assert (outputs, len(report.failures), report.rows_left_out) == ([], 1, ())
    assert "bad" in report.failures[0].error


def test_a_text_that_is_no_text_costs_its_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine")
    (tmp_path / "b.txt").write_bytes(b"\xff")
    (task,), report = call(TextReaderStage(fields=["text"]), tmp_path / "a.txt", tmp_path / "b.txt")
    assert (rows([task]), left_out(report)) == ([{"text": "fine"}], [("b.txt", None, 1)])


def test_what_storage_does_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """It may be another time; the task is tried again, or has failed."""
    write_jsonl(tmp_path / "good", [{"n": 1}])
    _, report = call(JsonlReaderStage(), tmp_path / "good", tmp_path / "missing")
    assert len(report.failures) == 1
    assert not report.rows_left_out


def test_behind_a_thousand_lines_of_a_file_one_record_counts_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"n": 1}\n' + b"no\n" * (_MOST_LINES + 500))
    _, report = call(JsonlReaderStage(), tmp_path / "a.jsonl")
    assert report.failed_count == _MOST_LINES + 500
    assert len(report.rows_left_out) == _MOST_LINES + 1
    last = report.rows_left_out[-1][1]
    assert (last.line, last.rows) == (_MOST_LINES + 2, 500)
    assert "500 rows failed from here on" in last.error


def test_files_that_are_not_read_are_said_at_the_end(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"n": 1}])
    (tmp_path / "notes.md").touch()
    partition, _ = JsonlReader(str(tmp_path)).decompose()
    _, report = StageAdapter(partition).process([FileGroupTask("x", ["x"])])
    (said,) = report.notes
    assert "notes.md" in said


# What Arrow cannot hold


UNFIT = [
    ([1, "a"], "row 2, column 'x' .*'a' is string and a row before is int64"),
    (["a", None, 1], "row 3, .*1 is int64"),
    ([True, 1], "row 2, .*1 is int64 and a row before is bool"),
    ([1, 2**64], "row 2, .*a number of more than 64 bits"),
    ([-1, 2**63], "row 2, .*64 bits"),
    ([2**53 + 1, 0.5], "row 1, .*would be rounded"),
    ([{"a": 1}, {"a": "x"}], r"row 2, .*is string and a row before is int64, at \.a"),
    ([{"a": 2**63}], r"row 1, .*above 2\^63 - 1.*64 bits"),
    ([[1, 2.5], [2**53 + 1]], "row 2, .*beside values of other rows: .*9007199254740993"),
    ([{"a": 1}, {"a": 2**53 + 1}, {"a": 0.5}], "row 2, .*beside values of other rows: .*9007199254740993"),
    ([[1], {"a": 1}], "row 2, .*struct<a: int64> and a row before is list"),
    ([["x"], [["y"]]], r"row 2, .*at \[\]"),
    ([[1, "a"]], r"row 1, .*\[1, 'a'\]"),
    (["fine", {"deep": ["half \ud83d"]}], "row 2, .*surrogate"),
    ([object()], "row 1, .*object"),
]


@pytest.mark.parametrize(("values", "message"), UNFIT)
def test_a_value_that_does_not_fit_is_named_with_its_row_and_a_cure(
    tmp_path: Path, values: list[Any], message: str
) -> None:
    task = batch({"x": values})
    task._metadata["source_files"] = ["/in/a.jsonl", "/in/b.jsonl"]
    with pytest.raises(ValueError, match=rf"task 0_a_0 of /in/a\.jsonl and 1 more: .*{message}.*write_kwargs="):
        ParquetWriter(str(tmp_path)).process(task)
    (path,) = ParquetWriter(str(tmp_path), write_kwargs={"json_columns": ["x"]}).process(task).data
    found = pq.ParquetFile(path).read().column("x").to_pylist()
    if "object" not in message.split(".*")[-1]:
        assert [None if text is None else json.loads(text) for text in found] == values


def test_such_a_value_costs_its_row_where_failures_are_skipped(tmp_path: Path) -> None:
    values = [1, 2, "a", 3, 2**70, {"a": 1}, None]
    task = batch({"n": list(range(7)), "x": values})
    task._metadata["source_files"] = ["/in/a.jsonl"]
    (written,), report = StageAdapter(ParquetWriter(str(tmp_path)), SKIP).process([task])
    assert pq.ParquetFile(written.data[0]).read().to_pydict() == {"n": [0, 1, 3, 6], "x": [1, 2, 3, None]}
    assert left_out(report) == [("a.jsonl", None, 1)] * 3


def test_rows_that_json_or_an_encoding_cannot_hold_cost_themselves(tmp_path: Path) -> None:
    (written,), report = StageAdapter(JsonlWriter(str(tmp_path)), SKIP).process([batch({"x": [1, object(), 3]})])
    assert Path(written.data[0]).read_text() == '{"x": 1}\n{"x": 3}\n'
    assert report.failed_count == 1
    (written,), report = StageAdapter(TextWriter(str(tmp_path)), SKIP).process([batch({"text": ["a", "\ud83d"]})])
    assert (len(written.data), report.failed_count) == (1, 1)


def test_a_batch_without_a_row_that_fits_leaves_no_file(tmp_path: Path) -> None:
    (written,), report = StageAdapter(ParquetWriter(str(tmp_path)), SKIP).process([batch({"x": ["\ud83d"]})])
    assert (written.data, report.failed_count, list(tmp_path.iterdir())) == ([], 1, [])


def test_unsigned_numbers_of_64_bits(tmp_path: Path) -> None:
    values = [2**63, 1, None, 2**64 - 1]
    for data in (frame({"x": values}, 4), pd.DataFrame({"x": pd.Series(values, dtype=object)})):
        (path,) = ParquetWriter(str(tmp_path)).process(batch(data)).data
        table = pq.ParquetFile(path).read()
        assert (table.schema.field("x").type, table.column("x").to_pylist()) == (pa.uint64(), values)
        assert rows(run(ParquetReader(path))) == [{"x": value} for value in values]


def test_objects_without_keys_at_any_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = {
        "list": [[{}], [], None],
        "deep": [{"a": {}, "b": 1}, {"a": None, "b": None}, None],
        "some": [{}, {"k": 1}, None],
        "tags": [[], [], []],
    }
    with caplog.at_level(logging.WARNING):
        (path,) = ParquetWriter(str(tmp_path)).process(batch(columns)).data
    assert pq.ParquetFile(path).read().to_pydict() == {
        "list": [[None], [], None],
        "deep": [{"a": None, "b": 1}, {"a": None, "b": None}, None],
        "some": [{"k": None}, {"k": 1}, None],
        "tags": [[], [], []],
    }
    assert "column 'list' has objects without keys" in caplog.text
    assert "'some'" not in caplog.text


def test_columns_of_much_text_have_long_offsets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with 2 GiB, whose rows 32 bits cannot count."""
    monkeypatch.setattr("curator_slurm.executors.stages.columns.LARGE_TEXT_BYTES", 1000)
    data = frame({"text": ["x" * 100] * 30, "short": ["y"] * 30}, 30)
    assert [str(kind) for kind in data.dtypes] == ["large_string[pyarrow]", "string[pyarrow]"]
    (path,) = ParquetWriter(str(tmp_path)).process(batch(keep_rows(data, [True, False] * 15))).data
    (task,) = run(ParquetReader(path))
    assert str(task.data.dtypes["text"]) == "large_string[pyarrow]"
    pq.write_table(pa.table({"text": ["z" * 100] * 30}), tmp_path / "b.parquet")
    (task,) = run(ParquetReader([path, str(tmp_path / "b.parquet")], files_per_partition=2))
    assert task.num_items == 45


# Times, depths and widths


@pytest.mark.parametrize(
    ("kind", "late"), [(pa.timestamp("us"), 2**60), (pa.timestamp("ms", "UTC"), 2**60), (pa.date32(), 2**23)]
)
def test_a_time_that_python_cannot_hold_costs_its_row(tmp_path: Path, kind: Any, late: int) -> None:
    pq.write_table(pa.table({"t": pa.array([0, late, None], kind)}), tmp_path / "a.parquet")
    (task,), _ = call(ParquetReaderStage(), tmp_path / "a.parquet")
    (written,), report = StageAdapter(JsonlWriter(str(tmp_path)), SKIP).process([task])
    assert len(Path(written.data[0]).read_text().splitlines()) == 2
    assert left_out(report) == [("a.parquet", None, 1)]
    with pytest.raises(ValueError, match=r"row 2: column 't' has a time that cannot be written"):
        JsonlWriter(str(tmp_path)).process(task)


def test_what_is_too_deep_for_those_who_read_parquet_costs_its_row(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    (written,), report = StageAdapter(ParquetWriter(str(tmp_path)), SKIP).process([batch({"x": [deep, [[]], None]})])
    assert pq.read_table(written.data[0]).to_pydict() == {"x": [[[]], None]}
    assert report.failed_count == 1
    with pytest.raises(ValueError, match=r"row 1, column 'x' .*deeper.*json_columns"):
        ParquetWriter(str(tmp_path)).process(batch({"x": [deep, [[]]]}))


def test_many_columns_are_not_named_once_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 columns took minutes: their names were made again for each."""
    asked: list[Any] = []
    names = columns.column_names
    monkeypatch.setattr(columns, "column_names", lambda data: asked.append(data) or names(data))
    JsonlWriter(str(tmp_path)).process(batch(frame({f"c{number}": [number] for number in range(50)}, 1)))
    assert len(asked) == 0


# What lies behind the end, and names that are there twice


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("rest", [b"garbage", b"BZh9 but no block of it"])
def test_what_follows_the_last_part_of_a_compressed_file_is_not_passed_over(
    tmp_path: Path, suffix: str, rest: bytes
) -> None:
    """The head of a second part may be damaged: its rows must not be missing in silence."""
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(COMPRESS[suffix](LINES) + rest)
    with pytest.raises(StageError, match="something was appended"):
        call(JsonlReaderStage(), path, policy=FailurePolicy(OnTaskError.FAIL))
    path.write_bytes(COMPRESS[suffix](LINES) + b"\0" * 512)  # as tapes pad
    assert rows(call(JsonlReaderStage(), path)[0]) == ROWS


def test_what_is_compressed_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(zstandard.compress(LINES)))
    with pytest.raises(StageError, match=r"a\.jsonl\.gz is compressed twice.*zstd"):
        run(JsonlReader(str(tmp_path)))


def test_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "a", "b"]), path)
    with pytest.raises(StageError, match=r"several columns have the name 'a'.*fields"):
        run(ParquetReader(str(path)))
    assert rows(run(ParquetReader(str(path), fields=["b"]))) == [{"b": 3}]


@pytest.mark.parametrize("fields", [["a", "a"], []])
@pytest.mark.parametrize("reader", [JsonlReader, ParquetReader])
def test_fields_that_cannot_be_meant(reader: Any, fields: list[str]) -> None:
    with pytest.raises(ValueError, match="name each column once, and one at least"):
        reader("/data", fields=fields)


def test_a_text_in_utf16_is_told_how_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("h\u00e9llo".encode("utf-16"))
    with pytest.raises(StageError, match=r"as UTF-16 does, which read_kwargs=\{'encoding': 'utf-16'\} reads"):
        call(TextReaderStage(), path, policy=FailurePolicy(OnTaskError.FAIL))
    assert rows(call(TextReaderStage(read_kwargs={"encoding": "utf-16"}), path)[0])[0]["text"] == "h\u00e9llo"
