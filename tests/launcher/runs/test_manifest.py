"""The manifest of shards: read as it was written, one line of very many found quickly, damage told by its line."""

from __future__ import annotations

import json
import os
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs import manifest
from curator_slurm.launcher.runs.manifest import count_shards, read_manifest, read_shard, write_manifest
from curator_slurm.launcher.runs.shard_records import Shard

NAMES = [
    "a.txt",
    "with space",
    "quo'te",
    'dou"ble',
    "new\nline",
    "ü☃",
    os.fsdecode(b"\xff"),
    "x\u2028y\u0085z\x1c",
    "\\",
]
files = st.builds(
    InputFile,
    st.one_of(st.sampled_from(NAMES), st.text()),
    st.none() | st.integers(0, 2**62),
    st.none() | st.integers(0, 2**62),
    st.none() | st.just("0" * 64),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(files, min_size=1, max_size=4), max_size=8))
def test_it_is_read_as_it_was_written(tmp_path, groups):
    shards = [Shard(index, tuple(group)) for index, group in enumerate(groups)]
    path = tmp_path / "shards" / "manifest.jsonl"
    write_manifest(path, shards)
    assert list(read_manifest(path)) == shards
    assert [read_shard(path, index) for index in range(len(shards))] == shards
    assert count_shards(path) == len(shards)
    # For other tools: one object per line, whatever they take for the end of a line.
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == list(range(len(shards)))


def test_what_a_line_holds(tmp_path):
    write_manifest(tmp_path / "m", [Shard(0, (InputFile("/ü", 2, 5), InputFile("/b", None, None, "ab")))])
    assert (tmp_path / "m").read_text() == (
        '{"index": 0, "bytes": 2, "files": '
        '[{"path": "/ü", "bytes": 2, "mtime_ns": 5}, {"path": "/b", "sha256": "ab"}]}\n'
    )
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def long_one(tmp_path):
    """A manifest of lines from 100 bytes to more than the part that is read line by line."""
    chance = random.Random(7)
    shards = [
        Shard(
            index, tuple(InputFile(f"/data/{index}/{number:030d}", 1) for number in range(chance.choice([1, 9, 2000])))
        )
        for index in range(120)
    ]
    write_manifest(tmp_path / "m", shards)
    return tmp_path / "m", shards


@pytest.mark.long
def test_any_line_is_found_and_no_other_parsed(long_one, monkeypatch):
    path, shards = long_one
    parsed = []
    real = Shard.from_line
    monkeypatch.setattr(Shard, "from_line", lambda line: parsed.append(1) or real(line))
    assert [read_shard(path, index) for index in range(len(shards))] == shards
    assert len(parsed) == len(shards)
    assert count_shards(path) == len(shards)
    for wrong in (len(shards), 10**6, -1):
        with pytest.raises(StorageError, match=r"has no shard .*; its 120 shards are numbered from 0"):
            read_shard(path, wrong)


def test_little_is_read_of_a_long_manifest(tmp_path, monkeypatch):
    write_manifest(tmp_path / "m", (Shard(index, (InputFile(f"/data/{index:040d}", 1),)) for index in range(50_000)))
    read = 0

    class Counting:
        def __init__(self, stream):
            self.stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.stream.close()

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def __iter__(self):
            return iter(self.readline, b"")

        def readline(self):
            nonlocal read
            line = self.stream.readline()
            read += len(line)
            return line

    real = manifest._open
    monkeypatch.setattr(manifest, "_open", lambda path: Counting(real(path)))
    assert read_shard(tmp_path / "m", 33_333).index == 33_333
    assert read < 200_000 < (tmp_path / "m").stat().st_size / 10


@pytest.mark.long
def test_a_manifest_in_other_hands_is_read_too(long_one):
    path, shards = long_one
    path.write_text(
        "".join(json.dumps(json.loads(line), sort_keys=True) + "\n" for line in path.read_text().splitlines())
    )
    assert read_shard(path, 77) == shards[77]
    assert count_shards(path) == len(shards)


@pytest.mark.parametrize(
    "damage", ["", "{", '{"index": 9, "files": []}', '{"files": []}', "null", "[]", "\xff", '{"index": 1, "by']
)
def test_a_damaged_one_is_told_by_its_line(tmp_path, damage):
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(Shard(0, ()).to_line().encode() + b"\n" + damage.encode("latin-1") + b"\n")
    with pytest.raises(StorageError, match=r"manifest\.jsonl:2 is damaged"):
        list(read_manifest(path))
    assert read_shard(path, 0) == Shard(0, ())
    with pytest.raises(StorageError, match=r"manifest\.jsonl:2 is damaged"):
        read_shard(path, 1)


def test_none_at_all(tmp_path):
    for read in (count_shards, lambda path: read_shard(path, 0), lambda path: list(read_manifest(path))):
        with pytest.raises(StorageError, match=r"no manifest of its shards: there is no .*/m"):
            read(tmp_path / "m")
        with pytest.raises(StorageError, match=r"cannot read the manifest .*: Is a directory"):
            read(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    def shards():
        yield Shard(0, ())
        raise KeyError

    write_manifest(tmp_path / "m", [Shard(0, (InputFile("a"),))])
    before = (tmp_path / "m").read_text()
    with pytest.raises(KeyError):
        write_manifest(tmp_path / "m", shards())
    assert (tmp_path / "m").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
