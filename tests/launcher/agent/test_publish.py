"""Publishing a run without shards: once and whole, whatever dies, and whoever tries again."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import faults
import pytest
from run_dirs import new_attempt, new_run

from curator_slurm.launcher.agent.publish import publish, publisher_of
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.runs.registry import Run

CONTENT = {"a.txt": "one", "deep/b.txt": "two"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return new_run(tmp_path / "runs")


@pytest.fixture(params=["beside", "elsewhere"])
def target(request: pytest.FixtureRequest, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the outputs shall be: on the same file system, or on another one."""
    if request.param == "beside":
        return run.paths.outputs
    rename = Path.rename

    def refuse(path: Path, new: Path) -> Path:
        if path.name == "outputs" and path.parent.parent.parent.name == "attempts":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(path))
        return rename(path, new)

    monkeypatch.setattr(Path, "rename", refuse)
    return tmp_path / "data" / "set"


def staged(run: Run, job: str) -> AttemptPaths:
    attempt = run.paths.attempt(0, job, 0)
    if not attempt.root.exists():
        new_attempt(run, job)
    for name, text in CONTENT.items():
        (attempt.outputs / name).parent.mkdir(parents=True, exist_ok=True)
        (attempt.outputs / name).write_text(text)
    return attempt


def assert_whole(target: Path) -> None:
    assert {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()} == CONTENT
    if target.parent.name == "data":
        assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_the_outputs_are_moved(run: Run, target: Path) -> None:
    attempt = staged(run, "1")
    assert publish(attempt, target) == target
    assert_whole(target)
    assert not attempt.outputs.exists()
    assert publisher_of(run.paths, target) == "1.0"


def test_nothing_to_publish(run: Run, target: Path) -> None:
    attempt = new_attempt(run, "1")
    attempt.outputs.mkdir()
    assert publish(attempt, target) is None
    assert not target.exists()
    assert not attempt.outputs.exists()


def test_an_empty_folder_may_be_there(run: Run, target: Path) -> None:
    target.mkdir(parents=True)
    publish(staged(run, "1"), target)
    assert_whole(target)


def test_a_folder_with_other_files_stays_as_it_is(run: Run, target: Path) -> None:
    target.mkdir(parents=True)
    (target / "precious").touch()
    attempt = staged(run, "1")
    with pytest.raises(StorageError, match="there already, and not empty; they are complete in"):
        publish(attempt, target)
    assert [path.name for path in target.iterdir()] == ["precious"]
    assert_whole(attempt.outputs)
    assert publisher_of(run.paths, target) is None


def test_the_second_attempt_leaves_the_outputs_of_the_first(run: Run, target: Path) -> None:
    publish(staged(run, "1"), target)
    second = staged(run, "2")
    assert publish(second, target) == target
    assert publisher_of(run.paths, target) == "1.0"
    assert not second.outputs.exists()
    assert_whole(target)


def test_an_answer_that_was_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def twice(path: Path, new: Path) -> Path:
        if path.name == "outputs":
            rename(path, new)
        return rename(path, new)

    monkeypatch.setattr(Path, "rename", twice)
    assert publish(staged(run, "1"), run.paths.outputs) == run.paths.outputs
    assert_whole(run.paths.outputs)


def start_again(run: RunPaths, target: Path) -> None:
    for path in [target, *run.attempts.iterdir()]:
        shutil.rmtree(path, ignore_errors=True)


def test_death_after_any_file_operation(run: Run, target: Path) -> None:
    by_the_dead = crashes = 0
    staged(run, "1")
    for _ in faults.every_crash(lambda: publish(run.paths.attempt(0, "1", 0), target)):
        crashes += 1
        if publisher_of(run.paths, target) == "1.0":
            by_the_dead += 1
        else:
            assert not target.exists()
        assert publish(staged(run, "2"), target) == target
        assert_whole(target)
        start_again(run.paths, target)
        staged(run, "1")
    assert 2 <= by_the_dead < crashes


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_storage_that_refuses_any_file_operation(run: Run, target: Path, number: int) -> None:
    operation, came_to_it = 1, True
    while came_to_it:
        attempt = staged(run, "1")
        refused = ""
        with faults.failing(operation, number) as reached:
            try:
                publish(attempt, target)
            except StorageError as error:
                refused = str(error)
        came_to_it = reached()
        if refused:
            assert not target.exists()
            assert_whole(attempt.outputs)
            assert "full" in refused or "read-only" in refused
            publish(staged(run, "2"), target)
        assert_whole(target)
        start_again(run.paths, target)
        operation += 1
    assert operation > 3
