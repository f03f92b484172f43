"""Rows of output files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from curator_slurm.launcher.runs import inventory
from curator_slurm.launcher.runs.inventory import count_rows


@pytest.mark.parametrize(
    ("content", "rows", "lines"),
    [
        (b"", 0, 0),
        (b"\n", 0, 1),
        (b"1", 1, 1),
        (b"1\n2\n", 2, 2),
        (b"1\n2", 2, 2),
        (b"\n1\n\n\n\n2\n\n", 2, 7),
        (b"1\n\n2", 2, 3),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 1 << 20])
def test_empty_lines_are_rows_of_text_but_not_of_json_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, content: bytes, rows: int, lines: int
) -> None:
    monkeypatch.setattr(inventory, "_BLOCK", block)
    for name, want in (("a.jsonl", rows), ("a.ndjson.gz", rows), ("a.txt", lines)):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        assert count_rows(path) == want, name
