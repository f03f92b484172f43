"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults import every_crash

from curator_slurm.common.atomic_files import TEMPORARY, replaced, stream_atomic, temporary_name, write_atomic


@pytest.mark.parametrize("durable", [True, False])
def test_the_old_content_or_the_new(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a"
    write_atomic(path, "old", durable=durable)
    with pytest.raises(TypeError), stream_atomic(path, durable=durable) as stream:
        stream.write([stream.write(b"half")])  # type: ignore[arg-type]
    assert path.read_text() == "old"
    write_atomic(path, b"new", 0o600, durable=durable)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_a_crash_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, "old")
    seen = set()
    for _ in every_crash(lambda: write_atomic(path, "new")):
        seen.add(path.read_text())
        assert all(name == "a" or TEMPORARY.fullmatch(name) for name in os.listdir(tmp_path))  # noqa: PTH208
        path.write_text("old")
    assert seen == {"old", "new"}


def test_names_of_any_length(tmp_path: Path) -> None:
    with replaced(tmp_path / ("x" * 255)) as temporary:
        temporary.write_text("")
    assert TEMPORARY.fullmatch(temporary_name("a.jsonl"))
    assert not TEMPORARY.fullmatch("a.jsonl")
