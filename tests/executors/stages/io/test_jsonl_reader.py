from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stage_loop import rows, run, write_jsonl

from curator_slurm.executors.stages import JsonlReader, JsonlReaderStage
from curator_slurm.executors.stages.columns import frame, frame_of_table, values_of
from curator_slurm.executors.stages.filters.map_filter import documents as documents_of
from curator_slurm.executors.stages.io.jsonl_fast import read_table
from curator_slurm.executors.stages.io.jsonl_parse import parse_lines

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "jsonl": bytes,
    "jsonl.gz": gzip.compress,
    "jsonl.zst": lambda content: zstandard.compress(content[:7]) + zstandard.compress(content[7:]),
    "jsonl.bz2": bz2.compress,
    "jsonl.xz": lzma.compress,
}


def read(path: Path, **arguments: Any) -> list[dict[str, Any]]:
    return rows(run(JsonlReader(str(path), **arguments)))


@pytest.mark.parametrize("extension", COMPRESS)
def test_plain_and_compressed(tmp_path: Path, extension: str) -> None:
    (tmp_path / f"a.{extension}").write_bytes(COMPRESS[extension](b'{"text": "one"}\n{"text": "two"}'))
    assert read(tmp_path) == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize("extension", ["jsonl.gz", "jsonl.zst", "jsonl.bz2", "jsonl.xz"])
def test_a_damaged_file_is_named(tmp_path: Path, extension: str) -> None:
    whole = COMPRESS[extension](b'{"text": "one"}\n' * 50)
    for content in (whole[: len(whole) // 2], b"not compressed at all"):
        (tmp_path / f"a.{extension}").write_bytes(content)
        with pytest.raises(Exception, match=rf"a\.{extension}: cannot be read as"):
            read(tmp_path)


def test_values_arrive_as_they_are_written(tmp_path: Path) -> None:
    documents = [
        {
            "id": 2**60 + 1,
            "date": "2024-01-02",
            "time": "2024-01-02T03:04:05Z",
            "text": "a\u2028b\x85c\x00é😀\\n",
            "meta": {"a": 1},
            "tags": ["x", None],
            "mixed": 1,
            "score": 1.5,
            "ok": True,
            "none": None,
            "huge": 2**70,
        },
        {"id": None, "meta": {"b": [2.5]}, "tags": [], "mixed": "one", "score": 2, "ok": None, "huge": 1},
    ]
    write_jsonl(tmp_path / "a.jsonl", documents)
    found = read(tmp_path)
    assert found[0] == documents[0]
    assert found[1] == {**dict.fromkeys(documents[0]), **documents[1]}
    assert type(found[0]["id"]) is int


def test_integers_with_nulls_stay_integers(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"n": 1}, {"n": None}, {}])
    (task,) = run(JsonlReader(str(tmp_path)))
    assert str(task.to_pandas()["n"].dtype) == "int64[pyarrow]"
    assert values_of(task.data, "n") == [1, None, None]


def test_blank_lines_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf\r\n{"text": "one"}\r\n\r\n  \n{"text": "two\\r\\n"}\r\n\n'
    (tmp_path / "a.jsonl").write_bytes(content)
    assert read(tmp_path) == [{"text": "one"}, {"text": "two\r\n"}]


def test_a_group_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n\n")
    with pytest.raises(Exception, match=r"no rows in .*a\.jsonl; allow_empty=True accepts files without rows"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"{}\n{}\n", b"[{}, {}]", b"{}\n\n{ }"])
def test_rows_without_keys_are_told_from_no_rows(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    said = r"nothing is in any of the 2 rows of .*a\.jsonl"
    with pytest.raises(Exception, match=said + "; allow_empty=True passes over such files"):
        read(tmp_path)
    assert run(JsonlReader(str(tmp_path), allow_empty=True)) == []
    assert read(tmp_path, fields=["n"], read_kwargs={"missing_fields": "null"}) == [{"n": None}, {"n": None}]
    (tmp_path / "b.jsonl").write_bytes(b'{"n": 1}')
    assert read(tmp_path, files_per_partition=2) == [{"n": None}, {"n": None}, {"n": 1}]


def test_a_group_without_rows_is_let_through_where_that_is_allowed(tmp_path: Path) -> None:
    for name, content in (("a", b""), ("b", b'{"text": "x"}'), ("c", b"\n\n")):
        (tmp_path / f"{name}.jsonl").write_bytes(content)
    assert read(tmp_path, files_per_partition=3) == [{"text": "x"}]
    assert len(run(JsonlReader(str(tmp_path), allow_empty=True))) == 1
    found = run(JsonlReader(str(tmp_path), allow_empty=True, fields=["text"]))
    assert [task.num_items for task in found] == [0, 1, 0]
    assert {tuple(task.get_columns()) for task in found} == {("text",)}


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"dtype": {"n": str}}, [{"n": "1", "day": "2024-01-02"}, {"n": "2", "day": "2024-01-03"}]),
        ({"nrows": 1}, [{"n": 1, "day": "2024-01-02"}]),
        ({"engine": "pandas"}, [{"n": 1, "day": "2024-01-02"}, {"n": 2, "day": "2024-01-03"}]),
        ({"dtype_backend": "numpy_nullable"}, [{"n": 1, "day": "2024-01-02"}, {"n": 2, "day": "2024-01-03"}]),
    ],
)
@pytest.mark.parametrize("extension", COMPRESS)
def test_read_kwargs_as_pandas_takes_them(
    tmp_path: Path, options: dict[str, Any], values: list[dict[str, Any]], extension: str
) -> None:
    content = b'{"n": 1, "day": "2024-01-02"}\n{"n": 2, "day": "2024-01-03"}\n'
    (tmp_path / f"a.{extension}").write_bytes(COMPRESS[extension](content))
    assert read(tmp_path, read_kwargs=options) == values


@pytest.mark.filterwarnings("ignore:The 'convert_dates' keyword")
def test_dates_as_pandas_reads_them(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"day": "2024-01-02"}])
    (task,) = run(JsonlReader(str(tmp_path), read_kwargs={"convert_dates": ["day"]}))
    assert str(task.to_pandas()["day"].dtype).startswith("datetime64")


def test_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"text": "é"}\n'.encode("latin-1"))
    assert read(tmp_path, read_kwargs={"encoding": "latin-1"}) == [{"text": "é"}]


def test_what_pandas_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"{\n")
    with pytest.raises(Exception, match=r"bad\.jsonl: pandas cannot read it"):
        read(tmp_path, read_kwargs={"nrows": 3})


def test_fields_and_groups_of_what_pandas_reads(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"a": 1, "b": 2}])
    (tmp_path / "b.jsonl").write_bytes(b"")
    write_jsonl(tmp_path / "c.jsonl", [{"a": 3}])
    options = {"nrows": 5, "dtype": False}
    assert read(tmp_path, files_per_partition=3, fields=["a"], read_kwargs=options) == [{"a": 1}, {"a": 3}]
    with pytest.raises(Exception, match=r"no row of 3 files, .* has 'c'"):
        read(tmp_path, files_per_partition=3, fields=["c"], read_kwargs=options)
    found = read(tmp_path, files_per_partition=3, fields=["c"], read_kwargs={**options, "missing_fields": "null"})
    assert found == [{"c": None}] * 2


@pytest.mark.parametrize(
    "options",
    [{"dtype": False, "convert_dates": False}, {"engine": "pyarrow_direct", "pyarrow_block_size": 10}, {"nrows": None}],
)
def test_options_that_arrow_can_do_change_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"day": "2024-01-02", "n": None}, {"n": 2**60 + 1}])
    assert read(tmp_path, read_kwargs=options) == read(tmp_path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": ', "not JSON"),
        (b"[1, 2]", "a JSON object is expected, not a list"),
        (b"[", "one JSON array"),
        (b'{"a": 1}{"a": 2}', "not JSON"),
        (b'{"text": "\xff"}', "not UTF-8"),
        (b'"text"', "not a text"),
        (b"null", "not null"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_wrong_line_is_named_with_its_file(tmp_path: Path, line: bytes, problem: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "fine"}\n\n' + line + b"\n")
    with pytest.raises(Exception, match=rf"bad\.jsonl, line 3: .*{problem}"):
        read(tmp_path)


def test_fields_are_selected_in_their_order(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"a": 1, "b": 2, "c": 3}, {"c": 4, "b": None}])
    assert [list(row.items()) for row in read(tmp_path, fields=["c", "a"])] == [
        [("c", 3), ("a", 1)],
        [("c", 4), ("a", None)],
    ]


def test_a_field_that_no_row_has_is_an_error_unless_nulls_are_asked_for(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    with pytest.raises(Exception, match=r"a\.jsonl has 'txet'; the fields are \['text'\]"):
        read(tmp_path, fields=["txet"])
    found = read(tmp_path, fields=["text", "lang"], read_kwargs={"missing_fields": "null"})
    assert found == [{"text": "x", "lang": None}]


def test_files_of_a_group_may_have_other_columns(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x", "n": 1}])
    write_jsonl(tmp_path / "b.jsonl", [{"text": "y", "n": "one", "more": None}])
    write_jsonl(tmp_path / "c.jsonl", [{"more": 3}])
    assert read(tmp_path, files_per_partition=3) == [
        {"text": "x", "n": 1, "more": None},
        {"text": "y", "n": "one", "more": None},
        {"text": None, "n": None, "more": 3},
    ]


def test_metadata_and_ids_come_from_the_group(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x"}])
    (task,) = run(JsonlReader(str(tmp_path)))
    assert task._metadata["source_files"] == [str(tmp_path / "a.jsonl")]
    assert task.task_id.startswith("0_")


@pytest.mark.parametrize(
    "arguments",
    [
        {"read_kwargs": {"storage_option": {}}},
        {"read_kwargs": {"lines": False}},
        {"read_kwargs": {"typ": "series"}},
        {"read_kwargs": {"chunksize": 10}},
        {"_generate_ids": True, "_assign_ids": True},
        {"read_kwargs": {"missing_fields": "drop"}},
        {"files_per_partition": 1, "blocksize": 1},
    ],
)
def test_wrong_arguments_are_told_when_the_reader_is_made(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        JsonlReader("x", **arguments)


def test_only_documents() -> None:
    with pytest.raises(NotImplementedError, match="video"):
        JsonlReader("x", task_type="video")


def test_addresses() -> None:
    store = fsspec.filesystem("memory")
    store.pipe_file("/jsonl/a.jsonl.gz", gzip.compress(b'{"text": "far"}\n'))
    try:
        assert rows(run(JsonlReader("memory://jsonl"))) == [{"text": "far"}]
    finally:
        store.rm("/jsonl", recursive=True)


def test_stages_travel(tmp_path: Path) -> None:
    stage = pickle.loads(pickle.dumps(JsonlReaderStage(fields=["text"])))
    assert stage.fields == ["text"]
    assert stage.with_(batch_size=4).batch_size == 4


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8")),
    st.sampled_from(["2020-01-01", "2020-01-01 00:00:00", "12:00", "1", "true", "null", "", "\ud83d"]),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner))
KEYS = st.sampled_from(["a", "b", "", "é", "a b", 'q"'])


@st.composite
def _tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows whose columns mostly have one kind of value, as files do."""
    kind = st.sampled_from([st.text(), st.integers(-9, 9), st.booleans(), SCALARS, VALUES])
    kinds = {key: draw(kind) for key in "ab"}
    row = st.fixed_dictionaries({}, optional=kinds) | st.dictionaries(KEYS, VALUES, max_size=2)
    return draw(st.lists(row, max_size=6))


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down."""
    return repr(left) == repr(right)


@pytest.mark.long
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(_tables(), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
@example([{"a": "2020-01-01"}, {"a": None}], False, "\n")
@example([{"a": 2**63}], False, "\n")
@example([{"a": 2**53 + 1}, {"a": 0.5}], False, "\n")
@example([{"a": {"x": 1}}, {"a": {"y": 1}}], False, "\n")
@example([{"a": -0.0}, {"a": 1}], False, "\n")
def test_arrow_and_python_read_the_same(documents: list[dict[str, Any]], ascii: bool, end: str) -> None:
    text = "".join(json.dumps(document, ensure_ascii=ascii) + end for document in documents)
    content = text.encode("utf-8", "replace")
    table = read_table(content)
    if table is None or table.num_rows == 0:
        return
    data = frame_of_table(table)
    by_arrow = documents_of(data)
    parsed = list(parse_lines(content, "x"))
    names = dict.fromkeys(key for row in parsed for key in row)
    columns = {name: [row.get(name) for row in parsed] for name in names}
    by_python = documents_of(frame(columns, len(parsed)))
    assert same([sorted(row.items()) for row in by_arrow], [sorted(row.items()) for row in by_python])


@settings(deadline=None)
@given(st.binary(max_size=60) | st.lists(st.sampled_from(list(b'{}[]":,a1\n \\')), max_size=30).map(bytes))
@example(b"\x0b")  # white space for Python, and not for JSON
def test_arrow_never_reads_what_python_refuses(content: bytes) -> None:
    table = read_table(content)
    if table is not None:
        assert len(list(parse_lines(content, "x"))) == table.num_rows
