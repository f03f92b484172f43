"""collect: verified, published once and whole, described truthfully, whatever happens in between."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from run_dirs import other_group
from sharded_runs import failed_tasks, lines, plan, publish, sharded_run

from curator_slurm.launcher.dataset import assemble as collecting
from curator_slurm.launcher.dataset.assemble import Collected, collect_run
from curator_slurm.launcher.errors import RunBusyError, RunIncompleteError, StorageError
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import MARKER


def nothing(step: str, done: int, total: int) -> None:
    assert done <= total, step


def collect(run: Run, the_plan: Plan, **options: Any) -> Collected:
    return collect_run(run, the_plan, nothing, **options)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, without what tells the time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name in ("_dataset.json", MARKER):
                value = json.loads(content)
                for key in ("collected", "started", "published"):
                    value.pop(key, None)
                content = json.dumps(value).encode()
            found[str(path.relative_to(folder))] = content
    return found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "out"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    place = next(place for place in (Path("/dev/shm"), Path("/tmp")) if place.stat().st_dev != tmp_path.stat().st_dev)
    folder = Path(tempfile.mkdtemp(dir=place))
    yield folder / "out"
    shutil.rmtree(folder)


def done_run(folder: Path, count: int = 3, target: Path | None = None, **output: Any) -> tuple[Run, Plan]:
    the_plan = plan(folder, output={**({"path": str(target)} if target else {}), **output})
    run = sharded_run(folder, count, the_plan=the_plan)
    for shard in range(count):
        publish(run, shard, f"4711_{shard}.0")
    return run, the_plan


def test_files_of_the_same_name_do_not_collide(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 3, target)
    result = collect(run, the_plan)
    assert result.is_complete
    assert {path for path in tree(target) if "shard-" in path and MARKER not in path} == {
        "shard-00000/part.jsonl",
        "shard-00001/part.jsonl",
        "shard-00002/part.jsonl",
    }
    summary = read_json(target / "_dataset.json")
    assert summary == result.summary
    assert {key: summary[key] for key in ("complete", "files", "rows", "bytes", "tasks_failed", "merged")} == {
        "complete": True, "files": 3, "rows": 3, "bytes": 39, "tasks_failed": 0, "merged": False,
    }  # fmt: skip
    assert summary["shards"] == {"total": 3, "published": 3, "missing": ""}
    assert lines(target / "_files.jsonl")[1] == {
        "path": "shard-00001/part.jsonl", "bytes": 13, "rows": 1, "shards": "1", "attempt": "4711_1.0",
    }  # fmt: skip
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert read_json(run.paths.collected)["target"] == str(target)
    assert not run.paths.secrets.exists()


@pytest.mark.parametrize("where", ["beside", "elsewhere", "there"])
@pytest.mark.parametrize("merge", [False, True])
def test_the_dataset_belongs_to_the_project(tmp_path: Path, elsewhere: Path, where: str, merge: bool) -> None:
    target = elsewhere if where == "elsewhere" else tmp_path / "data" / "out"
    target.parent.mkdir(exist_ok=True)
    os.chown(target.parent, -1, other_group())
    target.parent.chmod(0o2770)
    if where == "there":
        target.mkdir(mode=0o700)
    run, the_plan = done_run(tmp_path, 2, target, **({"merge": {"target_size": "1MB"}} if merge else {}))
    for path in (run.paths.outputs, *run.paths.outputs.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600 if path.name == MARKER else 0o640)
    before = os.umask(0o027)
    try:
        collect(run, the_plan)
    finally:
        os.umask(before)
    for path in (target, *target.rglob("*")):
        found = path.stat()
        mode = 0o2700 if where == "there" and path == target else 0o2750 if path.is_dir() else 0o640
        assert (path, found.st_gid, oct(found.st_mode & 0o7777)) == (path, other_group(), oct(mode))
    assert stat.S_IMODE(run.paths.root.stat().st_mode) == 0o700


def test_again_changes_nothing(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 3, target)
    collect(run, the_plan)
    before = tree(target)
    assert collect(run, the_plan).is_complete
    assert tree(target) == before


def test_without_a_path_it_stays_in_the_run_directory(tmp_path: Path) -> None:
    run, the_plan = done_run(tmp_path, 2)
    assert collect(run, the_plan).target == run.paths.outputs
    assert (run.paths.outputs / "_dataset.json").exists()
    assert collect(run, the_plan).is_complete


def test_another_file_system_gets_a_copy(tmp_path: Path, elsewhere: Path) -> None:
    run, the_plan = done_run(tmp_path, 3, elsewhere)
    collect(run, the_plan)
    assert len(list(elsewhere.glob("shard-*/part.jsonl"))) == 3
    assert (run.paths.shard_outputs(0) / "part.jsonl").exists()
    assert [path.name for path in elsewhere.parent.iterdir()] == ["out"]
    assert collect(run, the_plan).is_complete


def test_a_late_second_attempt_cannot_publish_where_outputs_were_taken_away(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 1, target)
    collect(run, the_plan)
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "part.jsonl").write_text("late")
    with pytest.raises(OSError, match="not empty"):
        staged.rename(run.paths.shard_outputs(0))
    assert collect(run, the_plan).is_complete
    assert (target / "shard-00000/part.jsonl").read_text() == '{"shard": 0}\n'


def test_a_second_attempt_that_published_in_between_is_no_part_of_it(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 1, target)
    home, staging = run.paths.shard_outputs(0), target.with_name(f".out.{run.run_id}.collect")
    staging.mkdir(parents=True)
    home.rename(staging / home.name)  # as a collect that was killed here left it
    kept = run.paths.done(0).read_bytes()
    publish(run, 0, "4711_0.1", {"part.jsonl": b"second\n"})
    run.paths.done(0).write_bytes(kept)
    assert collect(run, the_plan).is_complete
    assert (target / "shard-00000/part.jsonl").read_text() == '{"shard": 0}\n'
    assert [path.name for path in home.iterdir()] == [MARKER]


def test_an_incomplete_run_is_not_called_complete(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 4, target)
    shutil.rmtree(run.paths.shard_outputs(2))
    run.paths.done(2).unlink()
    with pytest.raises(RunIncompleteError, match=r"3 of 4 shards.*\nNot done: 2\..*retry") as caught:
        collect(run, the_plan)
    assert caught.value.exit_code == 7
    assert not target.exists()
    result = collect(run, the_plan, partial=True)
    assert (result.is_complete, result.missing) == (False, [2])
    assert read_json(target / "_dataset.json")["shards"] == {"total": 4, "published": 3, "missing": "2"}
    publish(run, 2, "4712_0.0")
    assert collect(run, the_plan).is_complete
    assert len(list(target.glob("shard-*/part.jsonl"))) == 4
    assert read_json(target / "_dataset.json")["complete"]


def damage(run: Run, how: str) -> None:
    folder, done = run.paths.shard_outputs(1), run.paths.done(1)
    if how == "missing":
        (folder / "part.jsonl").unlink()
    elif how == "bytes":
        (folder / "part.jsonl").write_text("cut")
    elif how == "not in its record":
        (folder / "more.jsonl").write_text("x")
    elif how == "done file is damaged":
        done.write_text('{"shard": 1}')
    elif how == "checksum":
        (folder / "part.jsonl").write_text('{"shard": 9}\n')
    elif how == "the manifest has":
        write_json(done, {**read_json(done), "input_files": 2})
    elif how == "are not in":
        write_json(folder / MARKER, {**read_json(folder / MARKER), "attempt": "9_9.9"})


@pytest.mark.parametrize(
    "how",
    ["missing", "bytes", "not in its record", "done file is damaged", "checksum", "the manifest has", "are not in"],
)
def test_damaged_shards_are_named_and_not_published(tmp_path: Path, target: Path, how: str) -> None:
    run, the_plan = done_run(tmp_path, 3, target)
    sums = {
        "files": [{**read_json(run.paths.done(1))["files"][0], "sha256": hashlib.sha256(b'{"shard": 1}\n').hexdigest()}]
    }
    write_json(run.paths.done(1), {**read_json(run.paths.done(1)), **sums})
    damage(run, how)
    with pytest.raises(RunIncompleteError, match=rf"Shard 1 is damaged: .*{how}"):
        collect(run, the_plan)
    assert not target.exists()
    assert set(collect(run, the_plan, partial=True).problems) == {1}


def test_a_target_with_other_things_in_it_is_left_alone(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 1, target)
    target.mkdir(parents=True)
    (target / "mine").write_text("x")
    with pytest.raises(StorageError, match="not empty"):
        collect(run, the_plan)
    write_json(target / "_dataset.json", {"run_id": "20260101-000000-abcd"})
    with pytest.raises(StorageError, match="20260101-000000-abcd"):
        collect(run, the_plan)
    assert (target / "mine").read_text() == "x"
    assert (run.paths.shard_outputs(0) / "part.jsonl").exists()


def earlier_dataset(folder: Path, target: Path, **output: Any) -> dict[str, bytes]:
    """What an earlier run has published at the target."""
    collect(*done_run(folder / "earlier", 2, target, **output))
    return tree(target)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("merge", [False, True])
def test_the_dataset_of_an_earlier_run_is_replaced_if_that_is_asked_for(
    tmp_path: Path, elsewhere: Path, before: bool, merge: bool
) -> None:
    for target in (tmp_path / "data" / "out", elsewhere):
        earlier_dataset(tmp_path / f"for-{target.parent.name}", target, merge=before)
        run, the_plan = done_run(tmp_path, 3, target, if_exists="replace", merge=merge)
        assert collect(run, the_plan).is_complete
        assert (target / "part-00000.jsonl").exists() == merge
        assert len(list(target.glob("shard-*/part.jsonl"))) == (0 if merge else 3)
        assert read_json(target / "_dataset.json")["run_id"] == run.run_id
        assert [path.name for path in target.parent.iterdir()] == [target.name]
        assert collect(run, the_plan).is_complete


@pytest.mark.parametrize("merge", [False, True])
def test_an_incomplete_dataset_replaces_none(tmp_path: Path, target: Path, merge: bool) -> None:
    before = earlier_dataset(tmp_path, target)
    run, the_plan = done_run(tmp_path, 3, target, if_exists="replace", merge=merge)
    kept = run.paths.shard_outputs(2).rename(tmp_path / "kept")
    done = run.paths.done(2).rename(tmp_path / "done")
    with pytest.raises(RunIncompleteError, match="1 of 3 shards is missing, and an incomplete dataset replaces none"):
        collect(run, the_plan, partial=True)
    assert tree(target) == before
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    kept.rename(run.paths.shard_outputs(2))
    done.rename(run.paths.done(2))
    assert collect(run, the_plan).is_complete


def test_nor_does_one_in_which_nothing_was_kept(tmp_path: Path, target: Path) -> None:
    before = earlier_dataset(tmp_path, target)
    the_plan = plan(tmp_path, output={"path": str(target), "if_exists": "replace"})
    run = sharded_run(tmp_path, 1, the_plan=the_plan)
    publish(run, 0, files={})
    with pytest.raises(RunIncompleteError, match="has kept nothing, which replaces no dataset"):
        collect(run, the_plan)
    assert tree(target) == before


def test_what_no_run_has_published_is_never_replaced(tmp_path: Path, target: Path) -> None:
    before = earlier_dataset(tmp_path, target)
    (target / "shard-00000" / "notes.md").write_text("mine")
    run, the_plan = done_run(tmp_path, 1, target, if_exists="replace")
    with pytest.raises(StorageError, match=r"cannot be replaced: it has shard-00000/notes\.md"):
        collect(run, the_plan)
    assert {**before, "shard-00000/notes.md": b"mine"} == tree(target)


def test_one_at_a_time(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, the_plan = done_run(tmp_path, 1, target)
    monkeypatch.setattr(collecting, "RunLock", lambda path, purpose, **_: RunLock(path, purpose, patience_s=0))
    with RunLock(run.paths.lock("collect"), "collect"), pytest.raises(RunBusyError):
        collect(run, the_plan)


def test_failed_tasks_of_the_attempts_that_count_are_gathered(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 2, target)
    failed_tasks(run, 1, "4711_1.0", [{"stage": "filter", "task_id": "0_a", "error": "ValueError"}])
    failed_tasks(run, 1, "4700_1.0", [{"stage": "filter", "task_id": "other attempt"}])
    record = {**read_json(run.paths.done(1)), "tasks_failed": 1}
    write_json(run.paths.done(1), record)
    summary = collect(run, the_plan).summary
    assert (summary["tasks_failed"], summary["failures"]) == (1, "_failures.jsonl")
    assert lines(target / "_failures.jsonl") == [
        {"shard": 1, "attempt": "4711_1.0", "stage": "filter", "task_id": "0_a", "error": "ValueError"}
    ]


# Merging


def parquet(rows: list[Any], path: Path, column: str = "text") -> bytes:
    pq.write_table(pa.table({column: rows}), path)
    return path.read_bytes()


def merged_run(folder: Path, target: Path, target_size: str = "1G") -> tuple[Run, Plan]:
    the_plan = plan(folder, output={"path": str(target), "merge": {"target_size": target_size}})
    run = sharded_run(folder, 3, the_plan=the_plan)
    for shard in range(3):
        line = f'{{"shard": {shard}}}\n'.encode()
        files = {
            "a.jsonl": line,
            "b.jsonl": line.rstrip(b"\n") if shard == 0 else line,
            "c.jsonl.gz": gzip.compress(line),
            "c.jsonl.zst": zstandard.compress(line),
            "lang=en/x.parquet": parquet([f"t{shard}"], folder / "x.parquet"),
            "lang=de/x.parquet": parquet([f"d{shard}"], folder / "x.parquet"),
            "model.bin": bytes([shard]),
        }
        publish(run, shard, f"4711_{shard}.0", files)
    return run, the_plan


def test_small_files_are_merged(tmp_path: Path, target: Path) -> None:
    run, the_plan = merged_run(tmp_path, target)
    summary = collect(run, the_plan).summary
    assert {name for name in tree(target) if not name.startswith("_")} == {
        "part-00000.jsonl", "part-00000.jsonl.gz", "part-00000.jsonl.zst", "lang=en/part-00000.parquet",
        "lang=de/part-00000.parquet", "shard-00000/model.bin", "shard-00001/model.bin", "shard-00002/model.bin",
    }  # fmt: skip
    both = [json.loads(line)["shard"] for line in (target / "part-00000.jsonl").read_text().splitlines()]
    assert both == [0, 0, 1, 1, 2, 2]
    once = [{"shard": shard} for shard in range(3)]
    with gzip.open(target / "part-00000.jsonl.gz", "rt") as stream:
        assert [json.loads(line) for line in stream] == once
    with zstandard.open(target / "part-00000.jsonl.zst", "rt") as stream:
        assert [json.loads(line) for line in stream] == once
    assert pq.ParquetFile(target / "lang=en/part-00000.parquet").read().to_pydict() == {"text": ["t0", "t1", "t2"]}
    assert pq.ParquetFile(target / "lang=de/part-00000.parquet").num_row_groups == 1
    assert (summary["merged"], summary["files"], summary["complete"]) == (True, 8, True)
    listed = {line["path"]: line for line in lines(target / "_files.jsonl")}
    assert (listed["part-00000.jsonl"]["shards"], listed["part-00000.jsonl"]["rows"]) == ("0-2", 6)
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    before = tree(target)
    collect(run, the_plan)
    assert tree(target) == before


def test_files_are_joined_up_to_a_size(tmp_path: Path, target: Path) -> None:
    run, the_plan = merged_run(tmp_path, target, "30")
    collect(run, the_plan)
    assert {path.name for path in target.glob("*.jsonl") if path.name.startswith("part")} == {
        f"part-0000{number}.jsonl" for number in range(3)
    }
    assert [line["shards"] for line in lines(target / "_files.jsonl") if line["path"].endswith(".jsonl")] == [
        "0",
        "1",
        "2",
    ]


def test_a_partial_merge_is_replaced_by_a_whole_one(tmp_path: Path, target: Path) -> None:
    run, the_plan = merged_run(tmp_path, target)
    done = run.paths.done(1).read_bytes()
    run.paths.done(1).unlink()
    kept = run.paths.shard_outputs(1).rename(tmp_path / "kept")
    collect(run, the_plan, partial=True)
    assert not read_json(target / "_dataset.json")["complete"]
    kept.rename(run.paths.shard_outputs(1))
    run.paths.done(1).write_bytes(done)
    assert collect(run, the_plan).is_complete
    assert len((target / "part-00000.jsonl").read_text().splitlines()) == 6
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_columns_without_values_take_the_type_of_the_others(tmp_path: Path, target: Path) -> None:
    the_plan = plan(tmp_path, output={"path": str(target), "merge": True})
    run = sharded_run(tmp_path, 2, the_plan=the_plan)
    publish(run, 0, files={"x.parquet": parquet([None], tmp_path / "x")})
    publish(run, 1, files={"x.parquet": parquet(["a"], tmp_path / "x")})
    collect(run, the_plan)
    assert pq.ParquetFile(target / "part-00000.parquet").read().to_pydict() == {"text": [None, "a"]}


def test_a_shard_without_outputs_is_a_shard(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 2, target)
    shutil.rmtree(run.paths.shard_outputs(1))
    publish(run, 1, files={})
    assert collect(run, the_plan).summary["files"] == 1


def test_rows_that_nobody_counted_are_not_made_up(tmp_path: Path, target: Path) -> None:
    run, the_plan = done_run(tmp_path, 2, target)
    shutil.rmtree(run.paths.shard_outputs(1))
    publish(run, 1, files={"x.bin": b"1"}, rows=None)
    assert collect(run, the_plan).summary["rows"] is None
