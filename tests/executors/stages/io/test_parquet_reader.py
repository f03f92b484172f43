from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stage_loop import rows, run

from curator_slurm.executors.stages import ParquetReader


def write(path: Path, **columns: Any) -> None:
    pq.write_table(pa.table(columns), path)


def read(path: Path, **arguments: Any) -> list[dict[str, Any]]:
    return rows(run(ParquetReader(str(path), **arguments)))


def test_types_and_nulls_stay(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1, None], pa.int32()),
        "tags": pa.array([["a"], None]),
        "deep": pa.array([{"a": [1]}, {"a": None}]),
        "when": pa.array([0, None], pa.timestamp("us", tz="UTC")),
    }
    write(tmp_path / "a.parquet", **columns)
    (task,) = run(ParquetReader(str(tmp_path)))
    table = task.to_pyarrow()
    assert [table.schema.field(name).type for name in columns] == [array.type for array in columns.values()]
    assert rows([task])[1] == {"n": None, "tags": None, "deep": {"a": None}, "when": None}


def test_fields_and_their_absence(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", a=[1], b=[2])
    assert [list(row) for row in read(tmp_path, fields=["b", "a"])] == [["b", "a"]]
    assert read(tmp_path, read_kwargs={"columns": ["a"]}) == [{"a": 1}]
    with pytest.raises(
        Exception, match=r"no row of .*a\.parquet has 'c'; the fields are \['a', 'b'\] .*missing_fields"
    ):
        read(tmp_path, fields=["c"])
    assert read(tmp_path, fields=["c", "a"], read_kwargs={"missing_fields": "null"}) == [{"c": None, "a": 1}]


def test_files_that_differ_are_joined(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", n=pa.array([1], pa.int32()))
    write(tmp_path / "b.parquet", n=pa.array([2**40], pa.int64()), more=["x"])
    write(tmp_path / "c.parquet", n=pa.array([], pa.string()))
    assert read(tmp_path, files_per_partition=3) == [{"n": 1, "more": None}, {"n": 2**40, "more": "x"}]


def test_files_that_cannot_be_joined_are_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", n=[1])
    write(tmp_path / "b.parquet", n=["one"])
    with pytest.raises(Exception, match="cannot combine the columns"):
        read(tmp_path, files_per_partition=2)


def test_a_file_without_rows_is_an_error_unless_it_is_allowed(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", n=pa.array([], pa.int64()))
    with pytest.raises(Exception, match=r"no rows in .*a\.parquet"):
        read(tmp_path)
    (task,) = run(ParquetReader(str(tmp_path), allow_empty=True))
    assert (task.num_items, task.get_columns()) == (0, ["n"])
    assert str(task.to_pandas()["n"].dtype) == "int64[pyarrow]"


def test_read_kwargs_as_pandas_takes_them(tmp_path: Path) -> None:
    pd.DataFrame({"n": [1, 2], "text": ["a", "b"]}, index=["x", "y"]).to_parquet(tmp_path / "a.parquet")
    (task,) = run(ParquetReader(str(tmp_path), fields=["n"], read_kwargs={"dtype_backend": "numpy_nullable"}))
    assert [str(kind) for kind in task.to_pandas().dtypes] == ["Int64"]
    found = read(tmp_path, fields=["more", "text"], read_kwargs={"use_threads": False, "missing_fields": "null"})
    assert found == [{"more": None, "text": "a"}, {"more": None, "text": "b"}]
    with pytest.raises(Exception, match=r"a\.parquet"):
        read(tmp_path, fields=["more"], read_kwargs={"use_threads": False})
    ParquetReader("x", read_kwargs={"engine": "fastparquet", "any_of_its_own": 1})


def test_fields_that_one_file_of_a_group_lacks_are_null_there(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", text=["x"], url=["u"])
    write(tmp_path / "b.parquet", text=["y", "z"])
    found = [{"url": "u"}, {"url": None}, {"url": None}]
    assert read(tmp_path, fields=["url"], files_per_partition=2) == found
    with pytest.raises(Exception, match=r"b\.parquet has 'url'"):
        read(tmp_path, fields=["url"])


def test_filters(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", n=[1, 2, 3], text=["a", "b", "c"])
    assert read(tmp_path, fields=["text"], read_kwargs={"filters": [("n", ">", 1)]}) == [{"text": "b"}, {"text": "c"}]


@pytest.mark.parametrize("content", [b"", b"PAR1 no", b"{}\n"])
def test_what_is_not_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(Exception, match=r"bad\.parquet: not readable as Parquet"):
        read(tmp_path)


@pytest.mark.parametrize("options", [{"column": ["a"]}, {"missing_fields": "drop"}])
def test_wrong_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ParquetReader("x", read_kwargs=options)
