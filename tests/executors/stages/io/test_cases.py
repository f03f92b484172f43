"""Files as people have them, from reports in public: each with its right number of rows (`tests/cases`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stage_loop import rows, run

from curator_slurm.executors.stages import (
    JsonlReader,
    JsonlWriter,
    ParquetReader,
    ParquetWriter,
    ScoreFilter,
    WordCountFilter,
)

CASES = Path(__file__).parents[3] / "cases"


def files(case: str) -> list[str]:
    """What `${input.files}` stands for in the case's spec."""
    return sorted(str(path) for path in (CASES / case / "in").iterdir())


def to_parquet(case: str, folder: Path, **write_kwargs: Any) -> pa.Table:
    run(JsonlReader(files(case), files_per_partition=4), ParquetWriter(str(folder), write_kwargs=write_kwargs))
    (path,) = folder.iterdir()
    return pq.ParquetFile(path).read()


@pytest.mark.parametrize("name", ["a", "b"])
def test_columns_are_in_the_order_of_the_keys_whatever_looks_like_a_date(tmp_path: Path, name: str) -> None:
    run(JsonlReader(str(CASES / "date-column-order" / "in" / f"{name}.jsonl")), ParquetWriter(str(tmp_path)))
    (path,) = tmp_path.iterdir()
    table = pq.ParquetFile(path).read()
    assert table.column_names == ["id", "text", "date"]
    assert (table.num_rows, table.schema.field("date").type) == (100, pa.string())


def test_files_of_every_name_are_read_if_they_are_named(tmp_path: Path) -> None:
    run(JsonlReader(files("extensions-skipped"), files_per_partition=4), JsonlWriter(str(tmp_path)))
    assert sum(path.read_text().count("\n") for path in tmp_path.iterdir()) == 50


def test_a_long_zstd_window() -> None:
    assert len(rows(run(JsonlReader(files("zstd-long-window"))))) == 1000


def test_objects_without_keys_become_null_in_parquet_or_text(tmp_path: Path) -> None:
    table = to_parquet("empty-meta-struct", tmp_path / "null")
    assert (table.num_rows, table.column("meta").null_count) == (50, 50)
    table = to_parquet("empty-meta-struct", tmp_path / "text", json_columns=["meta"])
    assert table.column("meta").to_pylist() == ["{}"] * 50


def test_halves_of_surrogate_pairs_in_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1}\n{"id": 2, "tag \\ud83d": 3}\n')
    with pytest.raises(Exception, match=r"a\.jsonl, document 2: .*key 'tag \\ud83d'.*'lone_surrogates': 'replace'"):
        run(JsonlReader(str(path)))
    options = {"lone_surrogates": "replace"}
    assert list(rows(run(JsonlReader(str(path), read_kwargs=options)))[1]) == ["id", "tag \ufffd"]
    options = {"lone_surrogates": "drop"}
    assert rows(run(JsonlReader(str(path), read_kwargs=options))) == [{"id": 1}]


def test_halves_of_surrogate_pairs(tmp_path: Path) -> None:
    texts = [json.loads(line)["text"] for line in Path(files("lone-surrogate")[0]).read_text().splitlines()]
    (half,) = (row for row, text in enumerate(texts) if "\ud83d" in text)
    error = rf"of .*posts\.jsonl: row {half + 1}, column 'text' .*surrogate.*'lone_surrogates': 'replace'"
    with pytest.raises(Exception, match=error):
        to_parquet("lone-surrogate", tmp_path / "error")
    for place in ("reader", "writer"):
        for how, count in (("replace", len(texts)), ("drop", len(texts) - 1)):
            folder = tmp_path / place / how
            options = {"lone_surrogates": how}
            run(
                JsonlReader(files("lone-surrogate"), read_kwargs=options if place == "reader" else None),
                ParquetWriter(str(folder), write_kwargs=options if place == "writer" else {}),
            )
            (path,) = folder.iterdir()
            found = pq.ParquetFile(path).read().column("text").to_pylist()
            kept = [text for text in texts if how == "replace" or "\ud83d" not in text]
            assert found == [text.replace("\ud83d", "\ufffd") for text in kept]
            assert len(found) == count


def test_a_field_that_one_file_of_a_group_lacks(tmp_path: Path) -> None:
    reader = ParquetReader(files("parquet-fields-lacking"), files_per_partition=2, fields=["text", "url"])
    run(reader, JsonlWriter(str(tmp_path)))
    (path,) = tmp_path.iterdir()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(row) for row in found] == [["text", "url"]] * 2
    assert [row["url"] is None for row in found] == [False, True]


def test_nothing_is_kept(tmp_path: Path) -> None:
    run(
        JsonlReader(files("nothing-kept"), files_per_partition=4),
        ScoreFilter(WordCountFilter(min_words=50)),
        ParquetWriter(str(tmp_path / "out")),
    )
    assert not (tmp_path / "out").exists()
