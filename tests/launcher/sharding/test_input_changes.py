"""The input of a run beside what it was planned with: a list that is as it was is not read line by line again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sharded_runs import new_sharded, plan

from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.manifest import read_shard, revise
from curator_slurm.launcher.runs.registry import Run, create_run, load_run
from curator_slurm.launcher.sharding import input_changes as module
from curator_slurm.launcher.sharding.changes import Change
from curator_slurm.launcher.sharding.plan_shards import plan_shards


def run_of(folder: Path, **given: object) -> tuple[Run, Plan]:
    the_plan = plan(folder, input=given, shards={"count": 2})
    shards = plan_shards(the_plan)
    new = new_sharded(folder, 2, the_plan)
    run = create_run(folder / "runs", replace(new, shards=shards.shards, list_sha256=shards.list_sha256))
    return load_run(run.paths.root), the_plan


def write_list(path: Path, names: str, size: int = 1) -> None:
    path.write_text("".join(f"{json.dumps({'path': f'/data/{name}', 'bytes': size})}\n" for name in names))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """An entry for each time that the input is listed."""
    found: list[bool] = []
    original = module.list_inputs

    def noted(*arguments: object) -> object:
        found.append(True)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "list_inputs", noted)
    return found


def test_a_list_that_is_as_it_was_is_not_read_again(tmp_path: Path, listed: list[bool]) -> None:
    path = tmp_path / "l.jsonl"
    write_list(path, "abcd")
    run, the_plan = run_of(tmp_path, manifest=str(path))
    assert module.input_changes(run, the_plan) == []
    assert not listed
    write_list(path, "bcde", size=2)
    changes = {change.path: change.change for change in module.input_changes(run, the_plan)}
    assert listed == [True]
    assert changes == {
        "/data/a": Change.VANISHED, "/data/b": Change.CHANGED, "/data/c": Change.CHANGED, "/data/d": Change.CHANGED,
        "/data/e": Change.APPEARED,
    }  # fmt: skip


def test_what_a_retry_has_revised_is_compared_with_the_list(tmp_path: Path, listed: list[bool]) -> None:
    path = tmp_path / "l.jsonl"
    write_list(path, "abcd")
    run, the_plan = run_of(tmp_path, manifest=str(path))
    shard = read_shard(run.paths.manifest, 0)
    revise(run.paths.manifest, replace(shard, files=(shard.files[0]._replace(bytes=7), *shard.files[1:])))
    [change] = module.input_changes(run, the_plan)
    assert (change.path, change.change, listed) == (shard.files[0].path, Change.CHANGED, [True])


def test_files_whose_sizes_the_list_does_not_give_are_looked_at_again(tmp_path: Path, listed: list[bool]) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("1")
    (tmp_path / "l.txt").write_text("a\nb\n")
    run, the_plan = run_of(tmp_path, manifest=str(tmp_path / "l.txt"))
    assert run.record is not None
    assert run.record.list_sha256 == ""
    (tmp_path / "a").write_text("12")
    assert [str(change) for change in module.input_changes(run, the_plan)] == [
        f"{tmp_path}/a changed (1 bytes were planned, it has 2)"
    ]
    assert listed == [True]
