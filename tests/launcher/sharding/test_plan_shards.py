"""From a plan to its shards, and what is said about them."""

from __future__ import annotations

import gc
import json

import pytest
import sharded_runs

from curator_slurm.launcher.errors import SpecError
from curator_slurm.launcher.sharding.plan_shards import plan_shards


@pytest.fixture
def notes(tmp_path):
    """What is said of shards of files of these sizes."""

    def of(sizes, **shards):
        lines = (json.dumps({"path": f"/d/{number}", "bytes": size}) for number, size in enumerate(sizes))
        (tmp_path / "l.jsonl").write_text("\n".join(lines))
        plan = sharded_runs.plan(tmp_path, input={"manifest": str(tmp_path / "l.jsonl")}, shards=shards)
        return list(plan_shards(plan).notes)

    return of


def test_nothing_is_said_of_what_is_as_it_should_be(notes):
    assert notes([10] * 20, count=4) == []
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("sizes", "shards", "note"),
    [
        ([1, 1, 1], {"count": 5}, "shards.count is 5, but there are only 3 files: each is a shard of its own"),
        ([0, 1, 1], {"count": 1}, "1 of 3 files has no content (0 bytes), such as /d/0"),
        (
            [9, 1, 1],
            {"bytes_per_shard": "4"},
            "1 of 3 files is larger than shards.bytes_per_shard, each a shard of its own; "
            "the largest is /d/0 with 9 bytes",
        ),
        ([90, 1, 1, 1], {"count": 3}, "/d/0 alone makes shard 0 2.9 times the mean"),
    ],
)
def test_what_is_odd_is_said(notes, sizes, shards, note):
    assert notes(sizes, **shards) == [note]


def test_sizes_that_are_not_known(tmp_path, monkeypatch):
    from curator_slurm.launcher.inputs import remote

    monkeypatch.setattr(remote, "_size", lambda info: None if info["name"] != "/b/2" else 7)
    import fsspec

    memory = fsspec.filesystem("memory")
    for number in range(4):
        memory.pipe(f"/b/{number}", b"1234567")
    try:
        plan = sharded_runs.plan(tmp_path, input={"paths": ["memory://b"]}, shards={"count": 2})
        found = plan_shards(plan)
        assert [len(shard.files) for shard in found.shards] == [2, 2]
        assert found.notes == [
            "the size of 3 of 4 files is not known, such as that of memory:///b/0; they are taken for average"
        ]
        memory.rm("/b/2")
        plan = sharded_runs.plan(tmp_path, input={"paths": ["memory://b"]}, shards={"bytes_per_shard": "1G"})
        with pytest.raises(SpecError) as caught:
            plan_shards(plan)
        assert caught.value.problems[0].key == "shards.bytes_per_shard"
    finally:
        memory.store.clear()
