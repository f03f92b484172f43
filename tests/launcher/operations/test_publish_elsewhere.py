"""`collect --to`: a finished computation whose output.path was taken meanwhile is published in another folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import new_attempt, outcome, own_home, submitted_run
from sharded_runs import plan, publish, submit_shards

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == expect, result.output
    return result


def finished(folder: Path, *, result: str = "completed") -> tuple[Run, AttemptPaths]:
    """A run without shards that has ended, with its outputs staged: somebody else had filled its output.path."""
    run = submitted_run(folder, "1", output_path=str(folder / "out"))
    run.paths.plan.write_text(plan(folder, shards=None, output={"path": str(folder / "out")}).to_yaml())
    run.paths.plan.chmod(0o600)
    attempt = new_attempt(run, "1")
    write_json(attempt.result, {"schema": 1, "state": result, "message": ""})
    attempt.outputs.mkdir(parents=True)
    (attempt.outputs / "x.jsonl").write_text("{}\n{}\n")
    outcome(attempt, "failed", failure_class="storage", message="outputs cannot be published")
    (folder / "out").mkdir()
    (folder / "out" / "theirs").touch()
    return run, attempt


@pytest.mark.usefixtures("fake_slurm")
def test_a_run_that_could_not_publish_its_outputs(tmp_path: Path) -> None:
    run, attempt = finished(tmp_path)
    root = run.paths.root
    assert "is not empty" in call("collect", root, "--to", tmp_path / "out", expect=2).stderr
    assert (attempt.outputs / "x.jsonl").exists()
    result = json.loads(call("collect", root, "--to", tmp_path / "free" / "here", "--json").stdout)
    assert (result["rows"], result["complete"]) == (2, True)
    assert (tmp_path / "free" / "here" / "x.jsonl").read_text() == "{}\n{}\n"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
    status = json.loads(call("status", root, "--json").stdout)
    assert (status["state"], status["paths"]["outputs"]) == ("completed", str(tmp_path / "free" / "here"))
    again = call("collect", root, "--to", tmp_path / "other", expect=2).stderr
    assert f"has published its outputs already, to {tmp_path / 'free' / 'here'}" in again
    assert "published already" in call("collect", root).stdout


@pytest.mark.usefixtures("fake_slurm")
def test_a_run_that_failed_has_nothing_to_publish(tmp_path: Path) -> None:
    run, _ = finished(tmp_path, result="failed")
    assert "has no finished outputs" in call("collect", run.paths.root, "--to", tmp_path / "free", expect=7).stderr
    assert not (tmp_path / "free").exists()


def test_one_that_goes_on_is_waited_for(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.pause()
    run = submit_shards(tmp_path, 1, plan(tmp_path, shards=None)).run
    assert "is pending" in call("collect", run.paths.root, "--to", tmp_path / "free", expect=7).stderr


def test_a_sharded_run_goes_on_where_it_was_begun(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    launched = submit_shards(tmp_path, 3, plan(tmp_path, output={"path": str(tmp_path / "out")}), {2: "app_failed"})
    for job in fake_slurm.jobs:
        fake_slurm.wait(job.id)
    run = launched.run
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs").touch()
    call("collect", run.paths.root, "--partial", expect=2)
    call("collect", run.paths.root, "--partial", "--to", tmp_path / "free")
    assert "is published to" in call("collect", run.paths.root, "--to", tmp_path / "third", expect=2).stderr
    publish(run, 2)
    assert "Published 3 of 3 shards" in call("collect", run.paths.root).stdout
    assert len(list((tmp_path / "free").glob("shard-*/part.jsonl"))) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
