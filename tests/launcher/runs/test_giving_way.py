"""`output.if_exists: replace`: what an earlier run has published gives way, whole and once, whatever dies."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faults
import pytest
from run_dirs import new_run

from curator_slurm.common import exchange
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.giving_way import GivingWay
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.publish import Published, Publisher
from curator_slurm.launcher.runs.published import owner, why_kept
from curator_slurm.launcher.runs.shard_records import MARKER, Shard

OLD = {"old.jsonl": b'{"x": 0}\n', "deep/old.txt": b"old\n"}
NEW = {"new.jsonl": b'{"x": 1}\n', "deep/new.txt": b"new\n"}


@pytest.fixture(params=["exchange", "renames", "copied"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    """A run that replaces: where names can be exchanged, where not, and on another file system."""
    if request.param != "exchange":
        monkeypatch.setattr(exchange, "exchange", lambda *_: False)
    if request.param == "copied":
        monkeypatch.setattr(exchange, "exchange", _exchange_beside(exchange.exchange, tmp_path / "data"))
        monkeypatch.setattr(Path, "rename", _rename_beside(Path.rename, tmp_path / "data"))
    earlier = new_run(tmp_path / "earlier", output_path=str(tmp_path / "old")).paths
    publish(earlier, "4700.0", OLD, replaces=False)
    run = new_run(tmp_path / "runs", output_path=str(tmp_path / "data" / "set")).paths
    start_again(run)
    return run


def _rename_beside(real: Callable[..., Path], data: Path) -> Callable[..., Path]:
    def rename(self: Path, target: Path) -> Path:
        if self.is_relative_to(data) != Path(target).is_relative_to(data):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(self))
        return real(self, target)

    return rename


def _exchange_beside(real: Callable[..., bool], data: Path) -> Callable[..., bool]:
    def swap(one: Path, other: Path) -> bool:
        assert one.is_relative_to(data) == other.is_relative_to(data)
        return real(one, other)

    return swap


def place(run: RunPaths) -> Path:
    assert run.target is not None
    return run.target


def publisher(run: RunPaths, *, replaces: bool = True) -> Publisher:
    return Publisher(run=run, patience_s=0.0, sleep=lambda _: None, replaces=replaces)


def staged(run: RunPaths, name: str, files: dict[str, bytes]) -> AttemptPaths:
    attempt = ClusterPaths(run.elements / name, run).attempt(0)
    for path, content in files.items():
        (attempt.outputs / path).parent.mkdir(parents=True, exist_ok=True)
        (attempt.outputs / path).write_bytes(content)
    return attempt


def publish(run: RunPaths, name: str, files: dict[str, bytes] = NEW, *, replaces: bool = True) -> Published:
    shard = Shard(0, (InputFile("/data/0.jsonl", 1),))
    return publisher(run, replaces=replaces).publish(staged(run, name, files), shard, started=1.0)


def start_again(run: RunPaths) -> None:
    """An earlier run has published at the place; ours has done nothing."""
    shutil.rmtree(place(run).parent, ignore_errors=True)
    shutil.rmtree(run.attempts, ignore_errors=True)
    run.done(0).unlink(missing_ok=True)
    shutil.copytree(run.root.parent.parent.parent / "old", place(run))


def there(run: RunPaths) -> dict[str, bytes]:
    files = {str(path.relative_to(place(run))): path.read_bytes() for path in place(run).rglob("*") if path.is_file()}
    files.pop(MARKER)
    return files


def assert_replaced(run: RunPaths, by: str) -> None:
    assert there(run) == NEW
    assert json.loads((place(run) / MARKER).read_text()) == json.loads(run.done(0).read_text())
    assert json.loads(run.done(0).read_text())["attempt"] == by
    assert [path.name for path in place(run).parent.iterdir()] == [place(run).name]
    owners = {owner(path) for path in run.attempts.glob("*/*/work/outputs")}
    assert owners <= {None, run.run_id}, "the old one takes up no room"


def test_what_an_earlier_run_has_published_gives_way(run: RunPaths) -> None:
    place(run).chmod(0o2750)
    assert publish(run, "4711.0").ours
    assert_replaced(run, "4711.0")
    assert place(run).stat().st_mode & 0o7777 == 0o2750, "the new folder is as the old one was"


@pytest.mark.long
def test_death_after_any_operation_leaves_the_old_or_the_new(run: RunPaths) -> None:
    before = after = 0
    for _ in faults.every_crash(lambda: publish(run, "4711.0")):
        record = publisher(run).finished(0)
        if record is None:
            before += 1
            assert there(run) == OLD, "nobody has lost it, even if nothing follows"
            publish(run, "4712.0")
            assert_replaced(run, "4712.0")
        else:
            after += 1
            assert_replaced(run, "4711.0")
        start_again(run)
    assert before > 10
    assert after > 5


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.EIO], ids=errno.errorcode.get)
def test_storage_that_refuses_at_any_operation(run: RunPaths, number: int) -> None:
    operation, came_to_it = 1, True
    while came_to_it:
        attempt = staged(run, "4711.0", NEW)
        with faults.failing(operation, number, for_ever=True) as reached:
            try:
                ours = publisher(run).publish(attempt, Shard(0, (InputFile("/data/0.jsonl", 1),)), started=1.0).ours
            except StorageError:
                ours = False
        came_to_it = reached()
        record = publisher(run).finished(0)  # the storage works again
        assert record is not None or there(run) == OLD
        assert record is not None or not ours
        if record is None:
            publish(run, "4712.0")
        assert there(run) == NEW
        start_again(run)
        operation += 1
    assert operation > 8


def test_an_attempt_of_the_same_run_gives_no_way(run: RunPaths) -> None:
    publish(run, "4711.0")
    second = publish(run, "4712.0", {"new.jsonl": b"late\n"})
    assert (second.ours, second.record.attempt) == (False, "4711.0")
    assert_replaced(run, "4711.0")


def test_nor_does_one_that_published_at_the_last_moment(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """It replaced the old one after the second had looked at what is there."""
    gives_way, raced = Publisher._gives_way, []

    def late(self: Publisher, target: Path) -> bool:
        answer = gives_way(self, target)
        if not raced:
            raced.append(None)
            publish(run, "4711.0")
        return answer

    monkeypatch.setattr(Publisher, "_gives_way", late)
    second = publish(run, "4712.0", {"new.jsonl": b"late\n"})
    assert (second.ours, second.record.attempt) == (False, "4711.0")
    assert_replaced(run, "4711.0")


def test_who_puts_the_old_one_back_too_early_is_no_harm(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two renames somebody takes the run for dead."""
    rename, done = Path.rename, []

    def between(self: Path, target: Path) -> Path:
        answer = rename(self, target)
        if str(target).endswith(".replaced") and not done:
            done.append(None)
            publisher(run).finished(0)
        return answer

    monkeypatch.setattr(Path, "rename", between)
    assert publish(run, "4711.0").ours
    assert_replaced(run, "4711.0")
    assert done


def spoil(folder: Path, how: str) -> None:
    if how == "no record":
        (folder / MARKER).unlink()
    elif how == "more files":
        (folder / "deep" / "notes.md").write_text("mine")
    elif how == "a record of nobody":
        (folder / MARKER).write_text("{}")
    elif how == "a link":
        folder.rename(folder.with_name("real"))
        folder.symlink_to("real")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no record", "was not published by curator-slurm"),
        ("a record of nobody", "was not published by curator-slurm"),
        ("more files", "has deep/notes.md, which the run that published the rest has not written"),
        ("a link", "is a link"),
    ],
)
def test_what_we_did_not_publish_never_gives_way(run: RunPaths, how: str, words: str) -> None:
    spoil(place(run), how)
    before = {path: path.is_file() and path.read_bytes() for path in place(run).rglob("*")}
    assert words in why_kept(place(run))
    with pytest.raises(StorageError, match=words if how != "a link" else "cannot be published"):
        publish(run, "4711.0")
    assert {path: path.is_file() and path.read_bytes() for path in place(run).rglob("*")} == before


def test_without_the_setting_nothing_gives_way(run: RunPaths) -> None:
    with pytest.raises(StorageError, match="exists already and is not empty"):
        publish(run, "4711.0", replaces=False)
    assert there(run) == OLD


def test_a_half_removed_old_one_is_never_put_back(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator_slurm.launcher.runs.giving_way.shutil.rmtree", lambda *_, **__: None)
    publish(run, "4711.0")
    monkeypatch.undo()
    (left,) = place(run).parent.glob(".set*")
    place(run).rename(place(run).with_name("moved"))
    old = GivingWay(place(run), run.run_id)
    assert left != old.aside
    old.put_back(lambda: False)
    assert not place(run).exists()


def test_the_wait_for_a_hidden_marker_ends_where_what_is_there_is_not_ours(run: RunPaths) -> None:
    waits: list[float] = []
    waiting = replace(publisher(run, replaces=False), patience_s=60.0, sleep=waits.append)
    for foreign in (OLD, {"precious": b""}):
        shutil.rmtree(place(run))
        for path, content in foreign.items():
            (place(run) / path).parent.mkdir(parents=True, exist_ok=True)
            (place(run) / path).write_bytes(content)
        with pytest.raises(StorageError, match="not empty"):
            waiting.publish(staged(run, f"{len(foreign)}.0", NEW), Shard(0, ()), started=1.0)
    assert waits == []
