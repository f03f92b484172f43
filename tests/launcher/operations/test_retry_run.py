"""retry of runs without shards, and their first job where its record was lost."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import fake_python, keep_element, own_home, write_spec

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.operations import submit
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.purge import DAY_S
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.runs.user_code import newest_code
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.spec import sbatch_options

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "asked_often")


@pytest.fixture(autouse=True)
def quick_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slurm.__init__, "__defaults__", (None, 60.0, (0.0,), 30.0))


@pytest.fixture
def slurm_jobs(fake_slurm: FakeSlurm) -> FakeSlurm:
    """A fake Slurm whose jobs have steps."""
    keep_element(fake_slurm)
    return fake_slurm


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == expect, f"{result.stdout}\n{result.stderr}"
    return result


def call_json(*arguments: object, expect: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", expect=expect).stdout)


def only_run(folder: Path) -> Run:
    (path,) = registry.run_directories([folder / "runs"])
    return registry.load_run(path)


def failed_run(folder: Path, fake: FakeSlurm, *options: str) -> Run:
    """A run that has failed on Slurm."""
    python = fake_python(folder / "python", state="failed", outcome={"failure_class": "out_of_memory"})
    call("submit", write_spec(folder, python), *options)
    fake.wait(fake.jobs[0].id)
    fake_python(folder / "python")  # from now on it succeeds
    call("status", "demo", expect=6)
    return only_run(folder)


def test_a_failed_run_is_submitted_again_in_its_directory(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    run = failed_run(tmp_path, slurm_jobs)
    result = call("retry", run.run_id)
    assert "Submitted the run again: 1 out_of_memory" in result.stdout
    slurm_jobs.wait(slurm_jobs.jobs[1].id)
    assert call_json("status", run.run_id)["state"] == "completed"
    assert len(list(run.paths.attempts.glob("00000/*"))) == 2
    assert [path.name for path in (tmp_path / "runs" / "demo").iterdir()] == [run.run_id]
    assert f"run {run.run_id} is completed" in call("retry", run.run_id).stdout
    assert len(slurm_jobs.jobs) == 2
    assert registry.find_run(str(slurm_jobs.jobs[1].id), [tmp_path / "runs"]).run_id == run.run_id


@pytest.mark.long
def test_a_plan_with_options_that_a_later_version_sets_itself(
    slurm_jobs: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_run(tmp_path, slurm_jobs, "--set", "resources.sbatch.qos=low", "--set", "resources.sbatch.nice=5")
    monkeypatch.setitem(sbatch_options.OWNED, "qos", "use `resources.priority`")
    monkeypatch.setitem(sbatch_options.OWNED, "nice", "use `resources.priority`")
    mine = ("--set", "environment.env.NOTE=a b")
    refused = call("retry", run.run_id, *mine, expect=2)
    commands = re.findall("To retry without it: (curator-slurm .*)", refused.stderr)
    assert (len(commands), len(set(commands)), len(slurm_jobs.jobs)) == (2, 1, 1)
    call(*shlex.split(commands[0])[1:])
    script = (read_submissions(run.paths)[1].paths.root / "job.sbatch").read_text()
    assert ("#SBATCH --qos" in script, "#SBATCH --nice" in script, "'a b'" in script) == (False, False, True)
    slurm_jobs.wait(slurm_jobs.jobs[1].id)
    assert call_json("status", run.run_id)["state"] == "completed"


def test_a_plan_is_retried_unchanged_whatever_a_later_version_sets_itself(
    slurm_jobs: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_run(tmp_path, slurm_jobs, "--set", "resources.sbatch.qos=low")
    monkeypatch.setitem(sbatch_options.OWNED, "qos", "use `resources.priority`")
    call("retry", run.run_id)
    assert len(slurm_jobs.jobs) == 2


def test_with_changed_resources(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    run = failed_run(tmp_path, slurm_jobs)
    before = run.paths.plan.read_bytes()
    call("retry", run.run_id, "--set", "resources.mem_per_node=2G", "--dry-run")
    assert len(slurm_jobs.jobs) == 1
    call("retry", run.run_id, "--set", "resources.mem_per_node=2G")
    slurm_jobs.wait(slurm_jobs.jobs[1].id)
    assert slurm_jobs.jobs[1].options["mem"] == "2G"
    first, submission = read_submissions(run.paths)
    assert not first.paths.plan.exists()
    assert yaml.safe_load(submission.paths.plan.read_text())["spec"]["resources"]["mem_per_node"] == "2G"
    assert run.paths.plan.read_bytes() == before
    assert call_json("status", run.run_id)["state"] == "completed"


@pytest.mark.long
def test_what_a_site_file_locks_does_not_change_in_a_retry(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    site = tmp_path / ".curator-slurm.yaml"
    site.write_text("locked: [resources.time]\nlimits: {nodes: 1}\nslurm: {export: never}\n")
    site.chmod(0o644)
    run = failed_run(tmp_path, slurm_jobs)
    refused = call("retry", run.run_id, "--set", "resources.time=5", expect=4)
    assert f"--set: `resources.time` cannot be changed here: `resources.time` is locked in {site}:1" in refused.stderr
    call("retry", run.run_id, "--set", "resources.nodes=2", expect=4)
    call("retry", run.run_id, "--set", "resources={time: 5}", expect=4)
    site.unlink()  # the plan of the run keeps them
    call("retry", run.run_id, "--set", "resources.sbatch.time-min=5", expect=4)
    site.write_text("locked: [environment.env]\n")  # so do those of now
    call("retry", run.run_id, "--set", "environment.env.A=b", expect=4)
    assert len(slurm_jobs.jobs) == 1
    call("retry", run.run_id, "--set", "resources.mem_per_node=2G")
    submission = read_submissions(run.paths)[1]
    plan = yaml.safe_load(submission.paths.plan.read_text())
    assert (plan["site"]["slurm"], plan["locks"][0]["where"]) == ({"export": "never"}, f"{site}:1")
    assert "--export" not in (submission.paths.root / "job.sbatch").read_text()


@pytest.mark.long
def test_a_run_that_the_site_is_about_to_delete(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    site = tmp_path / ".curator-slurm.yaml"
    site.write_text("storage: {purge_days: 40}\n")
    site.chmod(0o644)
    run = failed_run(tmp_path, slurm_jobs)
    assert run.record is not None
    assert run.record.purge_days == 40
    assert call_json("status", run.run_id, expect=6)["warnings"] == []
    os.utime(run.paths.spec, (run.record.created - 35 * DAY_S,) * 2)
    (warning,) = call_json("status", run.run_id, expect=6)["warnings"]
    assert "spec.yaml of this run was used 35 days ago: its files may be deleted in 5 days" in warning
    assert f"Note: {warning}" in call("retry", run.run_id, "--dry-run").stderr
    call("retry", run.run_id)
    slurm_jobs.wait(slurm_jobs.jobs[1].id)
    assert call_json("status", run.run_id)["warnings"] == [], "there is nothing to do any more"


def test_by_class(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    run = failed_run(tmp_path, slurm_jobs)
    assert "Nothing to submit" in call("retry", run.run_id, "--class", "node_failed").stdout
    assert call_json("retry", run.run_id, "--class", "out_of_memory")["why"] == {"out_of_memory": 1}


def test_a_run_that_is_under_way_is_left_alone(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    slurm_jobs.pause()
    call("submit", write_spec(tmp_path, fake_python(tmp_path / "python")))
    assert "is still pending" in call("retry", "demo").stdout
    call("cancel", "demo")
    assert "Submitted the run again: 1 cancelled" in call("retry", "demo").stdout
    slurm_jobs.resume()
    slurm_jobs.wait(slurm_jobs.jobs[1].id)
    assert call_json("status", "demo")["state"] == "completed"


def test_on_this_machine(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "python", state="failed")
    call("run", write_spec(tmp_path, python), "--cluster", "local", expect=6)
    fake_python(tmp_path / "python")
    call("retry", "demo")
    call("watch", "demo")
    assert len(list(only_run(tmp_path).paths.attempts.glob("00000/*"))) == 2


def test_a_first_job_whose_record_was_lost_is_found(
    slurm_jobs: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm_jobs.pause()
    path = write_spec(tmp_path, fake_python(tmp_path / "python"))
    choice = submit.choose_cluster("slurm")
    prepared = submit.prepare(path, [], choice.cluster, os.environ)
    with monkeypatch.context() as patch:
        patch.setattr(Submission, "update", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            submit.submit(prepared, os.environ)
    run = only_run(tmp_path)
    assert run.record is not None
    assert run.record.job_ids == ()
    assert call_json("status", run.run_id)["state"] == "pending"
    assert "is still pending" in call("retry", run.run_id).stdout
    assert len(slurm_jobs.jobs) == 1
    assert registry.find_run(str(slurm_jobs.jobs[0].id), [tmp_path / "runs"]).run_id == run.run_id


@pytest.mark.long
def test_a_retry_uses_the_code_of_the_submission_unless_told_otherwise(slurm_jobs: FakeSlurm, tmp_path: Path) -> None:
    for name in ("mine", "helper"):
        (tmp_path / f"{name}.py").write_text("import helper\n")
    python = fake_python(tmp_path / "python", state="failed", outcome={"failure_class": "out_of_memory"})
    call("submit", write_spec(tmp_path, python, pipeline={"entry": "mine:build"}), "--no-import")
    run = only_run(tmp_path)
    slurm_jobs.wait(slurm_jobs.jobs[-1].id)
    assert "changed since" not in call("retry", run.run_id, "--dry-run").stderr
    (tmp_path / "helper.py").write_text("edited")
    result = call("retry", run.run_id)
    assert "helper.py changed since; the code runs as it was submitted" in result.stderr
    assert not run.paths.submission(1).code.exists()
    slurm_jobs.wait(slurm_jobs.jobs[-1].id)
    assert "changed since" not in call("retry", run.run_id, "--update-code").stderr
    assert (run.paths.submission(2).code / "helper.py").read_text() == "edited"
    assert (run.paths.code / "helper.py").read_text() == "import helper\n"
    slurm_jobs.wait(slurm_jobs.jobs[-1].id)
    assert "changed since" not in call("retry", run.run_id).stderr
    assert newest_code(run.paths, 3) == newest_code(run.paths, 2) != newest_code(run.paths, 1)
