"""Listing the input of a sharded run, its manifest, and what became of its files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.filelist import read_file_list
from curator_slurm.launcher.inputs import input_files
from curator_slurm.launcher.shards.changes import Change, check_inputs, find_changes, summarise
from curator_slurm.launcher.shards.listing import list_input
from curator_slurm.launcher.shards.manifest import count_shards, read_manifest, read_shard, write_manifest
from curator_slurm.launcher.shards.records import InputFile, Shard
from curator_slurm.launcher.spec import InputSpec

NAMES = ["a.txt", "with space.txt", "quo'te.txt", 'dou"ble.txt', "new\nline.txt", "ü.txt", os.fsdecode(b"\xff.txt")]


def write(path: Path, size: int = 1) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return str(path)


@pytest.mark.parametrize("pattern", ["data", "data/*.txt", "data/**/*.txt", "*", "d*a/*"])
def test_names_and_sizes(tmp_path, pattern):
    paths = {write(tmp_path / "data" / name, size): size for size, name in enumerate(NAMES)}
    files = list_input(InputSpec(paths=[str(tmp_path / pattern)]))
    assert {file.path: file.bytes for file in files} == paths
    assert sorted(input_files([str(tmp_path / pattern)])) == sorted(paths)


def test_every_file_is_listed_once_through_whatever_links(tmp_path):
    path = write(tmp_path / "data" / "a.txt")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    write(tmp_path / "data" / ".hidden")
    write(tmp_path / "data" / ".git" / "x")
    files = list_input(InputSpec(paths=[str(tmp_path / "data"), path, str(tmp_path / "data" / "*.txt")]))
    assert [file.path for file in files] == [path]


def test_addresses(tmp_path):
    write(tmp_path / "data" / "a.txt", 3)
    write(tmp_path / "data" / "sub" / "b.txt", 4)
    files = list_input(InputSpec(paths=[f"file://{tmp_path}/data"]))
    assert [(file.path, file.bytes) for file in files] == [
        (f"file://{tmp_path}/data/a.txt", 3),
        (f"file://{tmp_path}/data/sub/b.txt", 4),
    ]


def test_an_address_in_memory():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a.jsonl", b"12345")
    try:
        (file,) = list_input(InputSpec(paths=["memory://bucket/*.jsonl"]))
        assert (file.path, file.bytes) == ("memory:///bucket/a.jsonl", 5)
        assert check_inputs(Shard(0, (file,))) == []
        memory.pipe("/bucket/a.jsonl", b"123")
        (change,) = check_inputs(Shard(0, (file,)))
        assert change.change is Change.CHANGED
        memory.rm("/bucket/a.jsonl")
        (change,) = check_inputs(Shard(0, (file,)))
        assert change.change is Change.VANISHED
    finally:
        memory.store.clear()


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("nothing/*", "names no file"),
        ("nothing", "names no file"),
        ("link", "cannot be read"),
        ("l*", "cannot be read"),
    ],
)
def test_what_is_not_there(tmp_path, pattern, part):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(StorageError, match=part):
        list_input(InputSpec(paths=[str(tmp_path / pattern)]))


def test_an_address_of_no_known_kind():
    with pytest.raises(StorageError, match="nosuch://x/y"):
        list_input(InputSpec(paths=["nosuch://x/y"]))


def test_lists_of_files(tmp_path):
    a, b = write(tmp_path / "a b.txt", 2), write(tmp_path / "b.txt", 3)
    (tmp_path / "l.txt").write_text("# a comment\na b.txt\n\nb.txt\r\n")
    (tmp_path / "l.jsonl").write_text(json.dumps({"path": "a b.txt", "size": 2}) + "\n" + json.dumps({"path": b}))
    (tmp_path / "l.csv").write_text('path,bytes\n"a b.txt",2\nb.txt,\n')
    for kind in ("txt", "jsonl", "csv"):
        files = list_input(InputSpec(manifest=str(tmp_path / f"l.{kind}")))
        assert [(file.path, file.bytes) for file in files] == [(a, 2), (b, 3)]


def test_files_whose_size_is_given_are_not_touched(tmp_path):
    (tmp_path / "l.jsonl").write_text('{"path": "/nowhere/x", "bytes": 7}')
    assert list_input(InputSpec(manifest=str(tmp_path / "l.jsonl"))) == [InputFile("/nowhere/x", 7)]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("l.jsonl", '{"path": "a"}\n{broken', "l.jsonl:2: not a JSON object"),
        ("l.jsonl", "[1]", "l.jsonl:1: not a JSON object"),
        ("l.jsonl", '{"file": "a"}', "has no `path`"),
        ("l.jsonl", '{"path": "a", "bytes": "many"}', "whole number; found 'many'"),
        ("l.jsonl", '{"path": "a", "bytes": -1}', "whole number"),
        ("l.jsonl", '{"path": "a", "bytes": 1, "sha256": "abc"}', "64 hexadecimal digits"),
        ("l.csv", "name\nx\n", "l.csv:2: has no `path`"),
        ("l.txt", "\n# nothing\n", "names no file"),
        ("l.xml", "x", "must end in"),
    ],
)
def test_wrong_lists(tmp_path, name, text, part):
    (tmp_path / name).write_text(text)
    with pytest.raises(StorageError) as caught:
        list(read_file_list(tmp_path / name))
    assert part in str(caught.value)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    shards = [Shard(number, (InputFile(name, number, 5),)) for number, name in enumerate(NAMES)]
    path = tmp_path / "shards" / "manifest.jsonl"
    write_manifest(path, shards)
    assert list(read_manifest(path)) == shards
    assert read_shard(path, 4) == shards[4]
    assert count_shards(path) == len(shards)
    assert json.loads(path.read_text().splitlines()[0]) == {
        "index": 0,
        "bytes": 0,
        "files": [{"path": "a.txt", "bytes": 0, "mtime_ns": 5}],
    }
    with pytest.raises(StorageError, match="has no shard 7"):
        read_shard(path, 7)


@pytest.mark.parametrize("damage", ["", "{", '{"index": 9, "files": []}', '{"files": []}', "null", "[]"])
def test_a_damaged_manifest_is_told_by_its_line(tmp_path, damage):
    path = tmp_path / "manifest.jsonl"
    path.write_text(Shard(0, ()).to_line() + "\n" + damage + "\n")
    with pytest.raises(StorageError, match=r"manifest\.jsonl:2 is damaged"):
        list(read_manifest(path))


def test_changes_are_named(tmp_path):
    kept, changed, gone = (write(tmp_path / name, 4) for name in ("kept", "changed", "gone"))
    spec = InputSpec(paths=[str(tmp_path)])
    shards = [Shard(number, (file,)) for number, file in enumerate(list_input(spec))]
    assert find_changes(shards, list_input(spec)) == []
    write(Path(changed), 5)
    Path(gone).unlink()
    new = write(tmp_path / "new")
    found = find_changes(shards, list_input(spec))
    assert {(change.path, change.change) for change in found} == {
        (changed, Change.CHANGED),
        (gone, Change.VANISHED),
        (new, Change.APPEARED),
    }
    now = {change.path: change for shard in shards for change in check_inputs(shard)}
    assert {path: change.change for path, change in now.items()} == {changed: Change.CHANGED, gone: Change.VANISHED}
    assert str(now[changed]) == f"{changed} changed (4 bytes were planned, it has 5)"
    assert kept not in now
    assert list(summarise(found, 1))[1] == "  and 2 more"


def test_a_file_that_was_written_again_with_the_same_size(tmp_path):
    path = Path(write(tmp_path / "a", 4))
    shards = [Shard(0, tuple(list_input(InputSpec(paths=[str(path)]))))]
    os.utime(path, ns=(1, 1))
    (change,) = check_inputs(shards[0])
    assert change.details == "it has been written since"


def test_checksums(tmp_path):
    path = write(tmp_path / "a", 1)
    right = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert check_inputs(Shard(0, (InputFile(path, 1, None, right),)), checksums=True) == []
    (change,) = check_inputs(Shard(0, (InputFile(path, 1, None, "0" * 64),)), checksums=True)
    assert change.details == "its sha256 is another one"
