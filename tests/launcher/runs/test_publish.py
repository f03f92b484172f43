"""Publishing a shard: once, whoever else tries, whatever dies or fails, and whatever is not seen yet.

In an array, in the run directory of a run without one, and in `output.path` on another file system.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import faults
import pytest
from run_dirs import new_run, other_group
from sharded_runs import sharded_run

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.done_records import read_marker
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.publish import Published, Publisher
from curator_slurm.launcher.runs.shard_records import MARKER, DoneRecord, Shard

CONTENT = {"a.jsonl": b'{"x": 1}\n{"x": 2}\n', "deep/er/b.txt": b"one\ntwo", "c.bin": b"\0" * 10}


@pytest.fixture(params=["array", "plain", "elsewhere"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    if request.param == "array":
        return sharded_run(tmp_path, 4).paths
    if request.param == "plain":
        return new_run(tmp_path / "runs").paths
    rename = Path.rename

    def refuse(path: Path, new: Path) -> Path:
        if path.name == "outputs" and path.parent.name == "work":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return rename(path, new)

    monkeypatch.setattr(Path, "rename", refuse)
    return new_run(tmp_path / "runs", output_path=str(tmp_path / "data" / "set")).paths


def index(run: RunPaths) -> int:
    """The shard that is published."""
    return 2 if run.target is None else 0


def shard_of(run: RunPaths) -> Shard:
    return Shard(index(run), (InputFile("/data/2.jsonl", 1000),))


def attempt_at(run: RunPaths, name: str) -> AttemptPaths:
    return ClusterPaths(run.elements / name, run).attempt(index(run))


def staged(run: RunPaths, name: str) -> AttemptPaths:
    """An attempt whose pipeline has ended well."""
    attempt = attempt_at(run, name)
    for path, content in CONTENT.items():
        (attempt.outputs / path).parent.mkdir(parents=True, exist_ok=True)
        (attempt.outputs / path).write_bytes(content)
    return attempt


def start_again(run: RunPaths) -> None:
    for path in (run.shard_outputs(index(run)), run.outputs, attempt_at(run, "x").root.parent):
        shutil.rmtree(path, ignore_errors=True)
    run.done(index(run)).unlink(missing_ok=True)


def publisher(run: RunPaths, patience_s: float = 5.0) -> Publisher:
    return Publisher(run=run, checksums=True, patience_s=patience_s, sleep=lambda _: None)


def publish(run: RunPaths, name: str) -> Published:
    return publisher(run).publish(staged(run, name), shard_of(run), started=1.0)


def assert_exactly_once(run: RunPaths, *, by: str | None = None) -> DoneRecord:
    """The outputs are there, all of them and nothing else, and the done file tells the truth about them."""
    folder = run.shard_outputs(index(run))
    if run.target is None or run.target != run.outputs:
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    marker = json.loads(files.pop(MARKER))
    assert files == CONTENT
    assert [path.name for path in run.shards.glob("[!.]*.done.json*")] == [run.done(index(run)).name]
    assert read_json(run.done(index(run))) == marker
    record = DoneRecord.from_json(marker)
    assert {file.path: file.bytes for file in record.files} == {name: len(data) for name, data in CONTENT.items()}
    if by is not None:
        assert record.attempt == by
    return record


def test_published_outputs_belong_to_the_project(run: RunPaths) -> None:
    target = run.shard_outputs(index(run))
    inside = target.is_relative_to(run.root)
    project = target.parent
    if not inside:
        project.mkdir(parents=True, exist_ok=True)
        os.chown(project, -1, other_group())
        project.chmod(0o2770)
    attempt = staged(run, "4711_2.0")
    attempt.outputs.chmod(0o700)
    (attempt.outputs / "a.jsonl").chmod(0o640)
    replace(publisher(run), umask=0o027).publish(attempt, shard_of(run), started=1.0)
    found = {path.name: path.stat() for path in (target, *target.rglob("*"))}
    if inside:
        assert stat.S_IMODE(found[target.name].st_mode) == 0o700  # run directories stay private
        return
    assert {each.st_gid for each in found.values()} == {other_group()}
    modes = {name: stat.S_IMODE(each.st_mode) for name, each in found.items()}
    assert (modes[target.name], modes["a.jsonl"], modes[MARKER]) == (0o2750, 0o640, 0o640)
    assert all(modes[name] & stat.S_ISGID for name in ("deep", "er"))


def test_folders_that_are_missing_are_made_as_the_user_makes_them(run: RunPaths) -> None:
    target = run.shard_outputs(index(run))
    if target.is_relative_to(run.root):
        return
    far = replace(run, target=target.parent / "new" / "folders" / "out")
    before = os.umask(0o077)
    try:
        replace(publisher(far), umask=0o002).publish(staged(far, "4711_2.0"), shard_of(far), started=1.0)
    finally:
        os.umask(before)
    for folder in ("new", "new/folders", "new/folders/out"):
        assert stat.S_IMODE((target.parent / folder).stat().st_mode) == 0o775


def test_outputs_are_published_with_their_inventory(run: RunPaths) -> None:
    published = publish(run, "4711_2.0")
    assert published.ours
    record = assert_exactly_once(run, by="4711_2.0")
    assert {file.path: file.rows for file in record.files} == {"a.jsonl": 2, "deep/er/b.txt": 2, "c.bin": None}
    assert all(len(file.sha256 or "") == 64 for file in record.files)
    assert (record.input_files, record.input_bytes) == (1, 1000)
    assert published.outputs == run.shard_outputs(index(run))
    assert not attempt_at(run, "4711_2.0").outputs.exists()


def test_an_attempt_that_staged_nothing(run: RunPaths) -> None:
    """In an array its folder is published all the same; else there may be something in its place that is not ours."""
    attempt = attempt_at(run, "4711_2.0")
    attempt.outputs.mkdir(parents=True)
    if run.target is not None:
        run.target.mkdir(parents=True)
        (run.target / "precious").touch()
    published = publisher(run).publish(attempt, shard_of(run), started=1.0)
    assert published.ours
    assert publisher(run).finished(index(run)) == published.record
    there = [path.name for path in run.shard_outputs(index(run)).iterdir()]
    assert (there, published.outputs is None) == ((["precious"], True) if run.target else ([MARKER], False))
    assert not attempt.outputs.exists()


def test_the_second_attempt_discards_what_it_made(run: RunPaths) -> None:
    publish(run, "4711_2.0")
    second = publish(run, "4712_0.0")
    assert (second.ours, second.record.attempt) == (False, "4711_2.0")
    assert_exactly_once(run, by="4711_2.0")
    assert not attempt_at(run, "4712_0.0").outputs.exists()


def test_the_loser_of_a_race_finds_out_at_the_rename(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner publishes between the loser's last look and its rename."""
    attempt, racing = staged(run, "4712_0.0"), publisher(run)
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        if path == attempt.outputs and not raced:
            raced.append(publish(run, "4711_2.0"))
        return rename(path, target)

    raced: list[Published] = []
    monkeypatch.setattr("curator_slurm.launcher.runs.publish.sweep", lambda *_: None)
    monkeypatch.setattr(Path, "rename", late)
    assert not racing.publish(attempt, shard_of(run), started=1.0).ours
    assert_exactly_once(run, by="4711_2.0")


def _race(run: RunPaths, name: str) -> tuple[str, bool]:
    try:
        return name, publish(run, name).ours
    except StorageError:
        return name, False  # the winner removed what it had staged, while it looked at it


@pytest.mark.long
def test_of_many_at_once_exactly_one_wins(run: RunPaths) -> None:
    names = [f"4711_{number}.0" for number in range(12)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(_race, [run] * len(names), names))
    winners = [name for name, ours in results if ours]
    assert len(winners) == 1
    assert_exactly_once(run, by=winners[0])


@pytest.mark.long
def test_death_after_any_operation_leaves_what_the_next_attempt_completes(run: RunPaths) -> None:
    published_by_the_dead = 0
    crashes = 0
    for _ in faults.every_crash(lambda: publish(run, "4711_2.0")):
        crashes += 1
        record = publisher(run).finished(index(run))
        if record is None:
            assert not run.done(index(run)).exists()
            publish(run, "4712_0.0")
            assert_exactly_once(run, by="4712_0.0")
        else:
            published_by_the_dead += 1
            assert_exactly_once(run, by="4711_2.0")
        start_again(run)
    assert crashes > 20
    assert 2 < published_by_the_dead < crashes


@pytest.mark.long
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("for_ever", [False, True])
def test_storage_that_refuses_at_any_operation(run: RunPaths, number: int, for_ever: bool) -> None:
    operation, came_to_it = 1, True
    while came_to_it:
        attempt = staged(run, "4711_2.0")
        with faults.failing(operation, number, for_ever=for_ever) as reached:
            try:
                ours = publisher(run).publish(attempt, shard_of(run), started=1.0).ours
            except StorageError as error:
                ours = False
                refused = getattr(error.__cause__, "errno", None) or str(error)
        if not ours:
            assert refused == number or "full" in str(refused) or "quota" in str(refused) or "read-only" in str(refused)
            assert {name for name in CONTENT if (attempt.outputs / name).exists()} == set(CONTENT)
            assert not run.shard_outputs(index(run)).exists()
            assert not run.done(index(run)).exists()
        came_to_it = reached()
        record = publisher(run).finished(index(run))  # there is room again
        assert (record is not None) == ours
        if record is None:
            publish(run, "4712_0.0")
        assert_exactly_once(run)
        start_again(run)
        operation += 1
    assert operation > 8


def test_an_answer_that_was_lost(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network storage did the rename, and when asked again says that there is nothing to rename."""
    attempt = staged(run, "4711_2.0")
    rename = Path.rename

    def twice(path: Path, target: Path) -> Path:
        if path == attempt.outputs:
            rename(path, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", twice)
    assert publisher(run).publish(attempt, shard_of(run), started=1.0).ours
    assert_exactly_once(run, by="4711_2.0")


def test_an_error_that_passes(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = staged(run, "4711_2.0")
    rename, errors = Path.rename, [errno.EIO, errno.ESTALE]

    def shaky(path: Path, target: Path) -> Path:
        if path == attempt.outputs and errors:
            number = errors.pop()
            raise OSError(number, os.strerror(number))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", shaky)
    assert publisher(run).publish(attempt, shard_of(run), started=1.0).ours
    assert errors == []


def test_outputs_that_are_not_seen_yet_make_no_duplicate(run: RunPaths) -> None:
    publish(run, "4711_2.0")
    attempt = staged(run, "4712_0.0")
    with faults.hidden(run.done(index(run)), 1000), faults.hidden(run.shard_outputs(index(run)), 6) as looks:
        assert publisher(run).finished(index(run)) is None
        published = publisher(run).publish(attempt, shard_of(run), started=1.0)
        assert looks() == 0
    assert (published.ours, published.record.attempt) == (False, "4711_2.0")
    assert_exactly_once(run, by="4711_2.0")


def test_outputs_that_are_never_seen_do_not_hang(run: RunPaths) -> None:
    publish(run, "4711_2.0")
    attempt = staged(run, "4712_0.0")
    with (
        faults.hidden(run.done(index(run)), 1 << 30),
        faults.hidden(run.shard_outputs(index(run)), 1 << 30),
        pytest.raises(StorageError, match="cannot be published"),
    ):
        publisher(run, patience_s=0.2).publish(attempt, shard_of(run), started=1.0)
    assert_exactly_once(run, by="4711_2.0")


def test_a_folder_that_is_not_ours_is_left_alone(run: RunPaths) -> None:
    run.shard_outputs(index(run)).mkdir(parents=True)
    (run.shard_outputs(index(run)) / "precious").touch()
    with pytest.raises(StorageError, match="exists already and is not empty"):
        publisher(run, patience_s=0.0).publish(staged(run, "4711_2.0"), shard_of(run), started=1.0)
    (run.shard_outputs(index(run)) / "precious").unlink()
    assert publisher(run).publish(attempt_at(run, "4711_2.0"), shard_of(run), started=1.0).ours, "as by collect --to"
    assert_exactly_once(run, by="4711_2.0")


def test_outputs_of_another_run_are_not_taken_for_ours(run: RunPaths, tmp_path: Path) -> None:
    """Two runs may have one `output.path`."""
    other = replace(new_run(tmp_path / "others").paths, target=run.shard_outputs(index(run)))
    publish(other, "4700.0")
    assert publisher(run).finished(index(run)) is None
    with pytest.raises(StorageError, match="exists already and is not empty"):
        publisher(run, patience_s=0.0).publish(staged(run, "4711_2.0"), shard_of(run), started=1.0)


def test_an_empty_folder_in_the_way_does_not_matter(run: RunPaths) -> None:
    run.shard_outputs(index(run)).mkdir(parents=True)
    assert publish(run, "4711_2.0").ours
    assert_exactly_once(run, by="4711_2.0")


def test_a_damaged_done_file_is_written_again(run: RunPaths) -> None:
    publish(run, "4711_2.0")
    run.done(index(run)).write_text("{")
    record = publisher(run).finished(index(run))
    assert record is not None
    assert_exactly_once(run, by="4711_2.0")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: write_json(folder / MARKER, {}), "this name is ours"),
        (lambda folder: (folder / "link").symlink_to("/etc/passwd"), "absolute path"),
        (lambda folder: os.mkfifo(folder / "pipe"), "neither a file nor a folder"),
    ],
)
def test_outputs_that_cannot_be_published(run: RunPaths, make, words: str) -> None:
    attempt = staged(run, "4711_2.0")
    make(attempt.outputs)
    with pytest.raises(StorageError, match=words):
        publisher(run).publish(attempt, shard_of(run), started=1.0)
    assert not run.shard_outputs(index(run)).exists()


def test_what_killed_attempts_left_is_removed(run: RunPaths) -> None:
    killed = staged(run, "4700_2.0")
    publish(run, "4711_2.0")
    assert not killed.work.exists()
    assert read_marker(run.shard_outputs(index(run))) is not None
