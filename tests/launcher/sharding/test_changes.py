"""Input files that change, vanish or appear after they were planned are found and named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.listing import list_inputs
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.sharding.changes import Change, check_inputs, compare, find_changes, summarise
from curator_slurm.launcher.spec.data_sections import InputSpec

DIGEST = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of `x`


def write(path: Path, size: int = 1) -> str:
    path.write_bytes(b"x" * size)
    return str(path)


def test_changes_are_named(tmp_path):
    kept, changed, gone = (write(tmp_path / name, 4) for name in ("kept", "changed", "gone"))
    spec = InputSpec(paths=[str(tmp_path)])
    shards = [Shard(number, (file,)) for number, file in enumerate(list_inputs(spec).files)]
    assert find_changes(shards, list_inputs(spec).files) == []
    assert [change for shard in shards for change in check_inputs(shard)] == []
    write(Path(changed), 5)
    Path(gone).unlink()
    new = write(tmp_path / "new")
    found = find_changes(shards, list_inputs(spec).files)
    assert [(change.path, change.change) for change in found] == [
        (changed, Change.CHANGED),
        (gone, Change.VANISHED),
        (new, Change.APPEARED),
    ]
    now = {change.path: change for shard in shards for change in check_inputs(shard)}
    assert {path: change.change for path, change in now.items()} == {changed: Change.CHANGED, gone: Change.VANISHED}
    assert str(now[changed]) == f"{changed} changed (4 bytes were planned, it has 5)"
    assert kept not in now
    assert list(summarise(found, 1)) == [f"  {now[changed]}", "  and 2 more"]


def test_a_file_that_was_written_again_with_the_same_size(tmp_path):
    path = Path(write(tmp_path / "a", 4))
    shard = Shard(0, tuple(list_inputs(InputSpec(paths=[str(path)])).files))
    os.utime(path, ns=(1, 1))
    (change,) = check_inputs(shard)
    assert change.details == "it has been written since"


def test_what_was_not_planned_is_not_compared(tmp_path):
    path = write(tmp_path / "a", 3)
    assert check_inputs(Shard(0, (InputFile(path, 3), InputFile(path)))) == []
    assert check_inputs(Shard(0, ())) == []


@pytest.mark.parametrize(
    ("planned", "found", "same"),
    [
        (1_500_000_001, 1_500_000_001, True),
        (1_500_000_001, 1_500_000_002, False),
        (1_500_000_001, 1_000_000_000, True),  # the file system has lost the parts of the second
        (1_000_000_000, 1_999_999_999, True),
        (1_500_000_001, 2_000_000_000, False),
        (1_000_000_000, 2_000_000_000, False),
    ],
)
def test_times_on_file_systems_that_lose_parts_of_a_second(planned, found, same):
    change = compare(InputFile("a", 1, planned), InputFile("a", 1, found))
    assert (change is None) is same


def test_checksums(tmp_path):
    path = write(tmp_path / "a", 1)
    for digest in (DIGEST, DIGEST.upper()):
        assert check_inputs(Shard(0, (InputFile(path, 1, None, digest),)), checksums=True) == []
    other = Shard(0, (InputFile(path, 1, None, "0" * 64),))
    assert check_inputs(other) == []
    (change,) = check_inputs(other, checksums=True)
    assert change.details == "its sha256 is another one"


def test_what_is_in_the_way(tmp_path):
    write(tmp_path / "file")
    (tmp_path / "loop").symlink_to("loop")
    names = ["gone\nfor good", "file/below", "loop", "x" * 300]
    found = check_inputs(Shard(0, tuple(InputFile(f"{tmp_path}/{name}", 1) for name in names)))
    assert [change.change for change in found] == ["vanished", "vanished", "unreadable", "unreadable"]
    assert "\n" not in str(found[0])
    assert "symbolic links" in found[2].details
    assert "too long" in found[3].details


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a")
    monkeypatch.setattr(os, "access", lambda *_: False)
    (change,) = check_inputs(Shard(0, (InputFile(path, 1),)))
    assert str(change) == f"{path} unreadable (you may not read it)"


def test_many_files_at_once(tmp_path):
    shard = Shard(0, tuple(InputFile(write(tmp_path / str(number), number), number) for number in range(200)))
    assert check_inputs(shard) == []
    write(tmp_path / "77", 1)
    assert [change.path for change in check_inputs(shard)] == [f"{tmp_path}/77"]


def test_remote_files():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a", b"x")
    try:
        file = InputFile("memory://bucket/a", 1, None, DIGEST)
        assert check_inputs(Shard(0, (file,)), checksums=True) == []
        memory.pipe("/bucket/a", b"y")
        assert check_inputs(Shard(0, (file,))) == []
        (change,) = check_inputs(Shard(0, (file,)), checksums=True)
        assert change.details == "its sha256 is another one"
        memory.pipe("/bucket/a", b"123")
        (change,) = check_inputs(Shard(0, (file,)))
        assert change.change is Change.CHANGED
        memory.rm("/bucket/a")
        (change,) = check_inputs(Shard(0, (file,)))
        assert change.change is Change.VANISHED
        (change,) = check_inputs(Shard(0, (InputFile("nosuch://a/b", 1),)))
        assert change.change is Change.UNREADABLE
    finally:
        memory.store.clear()


listings = st.dictionaries(st.text(max_size=3), st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8)


@given(listings, listings)
def test_nothing_escapes_the_comparison(before, after):
    planned = [Shard(number, (InputFile(path, *sizes),)) for number, (path, sizes) in enumerate(before.items())]
    changes = {
        change.path: change.change for change in find_changes(planned, [InputFile(p, *s) for p, s in after.items()])
    }
    for path in before.keys() | after.keys():
        if path not in after:
            assert changes[path] is Change.VANISHED
        elif path not in before:
            assert changes[path] is Change.APPEARED
        elif before[path] == after[path]:
            assert path not in changes
        elif before[path][0] != after[path][0]:
            assert changes[path] is Change.CHANGED
