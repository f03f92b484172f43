"""`remove`: runs that are over go, and nothing that only they have."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import new_attempt, new_run, outcome, own_home, submitted_run

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.operations import remove as operation
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import Run

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "fake_slurm")


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == expect, result.output
    return result


def finished(folder: Path, job_id: str = "1", state: str = "completed", days: float = 0, **more: str) -> Run:
    run = submitted_run(folder, job_id, **more)
    when = time.time() - days * 86400
    outcome(new_attempt(run, job_id), state, started=when - 60, ended=when)
    return run


def test_a_run_that_is_over_goes_with_the_folder_of_its_name(tmp_path: Path) -> None:
    run = finished(tmp_path)
    assert f"Removed {run.run_id}  demo  completed" in call("remove", run.run_id, "--runs-dir", tmp_path).stdout
    assert not run.paths.root.parent.exists()


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_so_does_one_that_failed(tmp_path: Path, state: str) -> None:
    run = finished(tmp_path, state=state)
    call("remove", "demo", "--runs-dir", tmp_path)
    assert not run.paths.root.exists()


@pytest.mark.long
def test_one_that_may_go_on_stays(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    pending = submitted_run(tmp_path)
    fake_slurm.fail_next("squeue", stderr="slurm_load_jobs error: Unable to contact slurm controller", times=9)
    result = call("remove", pending.run_id, "--runs-dir", tmp_path, expect=2)
    assert "stays, because it is unknown whether it has ended" in result.stderr
    assert pending.paths.record.exists()


def test_one_that_runs_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(tmp_path, cluster="local")
    monkeypatch.setattr(operation, "statuses_of", lambda runs: [_running() for _ in runs])
    result = call("remove", run.run_id, "--runs-dir", tmp_path, expect=2)
    assert f"is still running; `curator-slurm cancel {run.run_id}` ends it" in result.stderr
    assert run.paths.record.exists()


def _running() -> operation.RunStatus:
    return operation.RunStatus(state=operation.RunState.RUNNING)


def test_outputs_that_are_nowhere_else_stay_unless_asked_for(tmp_path: Path) -> None:
    run = finished(tmp_path)
    target = run.paths.shard_outputs(0)
    target.mkdir(parents=True)
    (target / "part.jsonl").write_text("{}\n")
    result = call("remove", run.run_id, "--runs-dir", tmp_path, expect=2)
    assert f"has outputs that are nowhere else, in {target}" in result.stderr
    assert (target / "part.jsonl").exists()
    call("remove", run.run_id, "--outputs", "--runs-dir", tmp_path)
    assert not run.paths.root.exists()


def test_outputs_that_could_not_be_published_stay(tmp_path: Path) -> None:
    run = submitted_run(tmp_path, "1")
    attempt = new_attempt(run, "1")
    outcome(attempt, "failed", failure_class="storage")
    write_json(attempt.result, {"schema": 1, "state": "completed", "message": ""})
    attempt.outputs.mkdir(parents=True)
    (attempt.outputs / "part.jsonl").write_text("{}\n")
    result = call("remove", run.run_id, "--runs-dir", tmp_path, expect=2)
    assert f"in {attempt.outputs}" in result.stderr
    assert (attempt.outputs / "part.jsonl").exists()


def test_old_runs(tmp_path: Path) -> None:
    old, other = finished(tmp_path, "1", days=40), finished(tmp_path, "2", days=40, name="other")
    new = finished(tmp_path, "3", days=2)
    where = ("--runs-dir", tmp_path)
    assert "Would remove" in call("remove", "--older-than", "30d", "--dry-run", *where).stdout
    assert old.paths.root.exists()
    result = call("remove", "--older-than", "30d", *where, expect=2)
    assert "2 runs would be removed; give --yes" in result.stderr
    call("remove", "--older-than", "30d", "--name", "demo", "--yes", *where)
    assert [old.paths.root.exists(), other.paths.root.exists(), new.paths.root.exists()] == [False, True, True]
    rows = json.loads(call("remove", "--older-than", "4w", "--yes", "--json", *where).stdout)
    assert [(row["run_id"], row["removed"]) for row in rows] == [(other.run_id, True)]
    assert "No run ended so long ago" in call("remove", "--older-than", "4w", "--yes", *where).stderr


@pytest.mark.parametrize("age", ["30", "d", "-1d", "1.5d", "30 d", "1y", "٣d"])
def test_ages_that_are_none(tmp_path: Path, age: str) -> None:
    assert "--older-than" in call("remove", f"--older-than={age}", "--runs-dir", tmp_path, expect=2).stderr


def test_what_to_remove_must_be_said(tmp_path: Path) -> None:
    assert "name the runs to remove" in call("remove", expect=2).stderr
    assert "name the runs to remove" in call("remove", "demo", "--older-than", "1d", expect=2).stderr
    call("remove", "no-such-run", "--runs-dir", tmp_path, expect=3)


def test_a_run_that_cannot_be_read_is_left_with_the_command_that_removes_it(tmp_path: Path) -> None:
    run = finished(tmp_path)
    run.paths.record.write_text("{")
    assert f"rm -r {run.paths.root}" in call("remove", run.run_id, "--runs-dir", tmp_path, expect=2).stderr
    assert run.paths.root.exists()


def test_a_run_that_another_command_works_on_stays(tmp_path: Path) -> None:
    run = finished(tmp_path)
    with RunLock(run.paths.lock("collect"), "collect"):
        result = call("remove", run.run_id, "--runs-dir", tmp_path, expect=2)
    assert "another command is working on it" in result.stderr


def test_a_removal_that_was_interrupted_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = finished(tmp_path, "1"), finished(tmp_path, "2")
    real = shutil.rmtree

    def die(path: Path, **_options: object) -> None:
        raise OSError(5, os.strerror(5), str(path))

    monkeypatch.setattr(operation.shutil, "rmtree", die)
    assert "cannot be removed whole" in call("remove", first.run_id, "--runs-dir", tmp_path, expect=2).stderr
    monkeypatch.setattr(operation.shutil, "rmtree", real)
    assert "there is no run" in call("status", first.run_id, "--runs-dir", tmp_path, expect=3).stderr
    call("remove", second.run_id, "--runs-dir", tmp_path)
    assert not first.paths.root.parent.exists()
