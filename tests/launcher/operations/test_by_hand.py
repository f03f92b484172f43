"""`sbatch job.sbatch` by hand: an attempt like any other, of a run that failed and of one that is finished."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.cli import main

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")

COMMAND = """
test -e {gate} || exit 3
while [ ! -e {go} ]; do sleep 0.05; done
echo done > "${{output_dir}}/x.txt"
"""


@pytest.mark.long
def test_an_attempt_by_hand(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    gate, go = tmp_path / "gate", tmp_path / "go"
    spec = {
        "name": "hand",
        "pipeline": {"command": COMMAND.format(gate=gate, go=go)},
        "cluster": {"ray": False},
        "resources": {"nodes": 1, "time": 10},
        "storage": {"runs": str(tmp_path / "runs")},
        "environment": {"python": sys.executable},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert CliRunner().invoke(main, ["submit", str(tmp_path / "spec.json"), "--cluster", "slurm"]).exit_code == 0
    (run,) = (tmp_path / "runs" / "hand").iterdir()

    def status() -> dict[str, Any]:
        shown = CliRunner().invoke(main, ["status", str(run), "--json"])
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    def by_hand() -> None:
        subprocess.run(["sbatch", "--parsable", "job.sbatch"], cwd=run, check=True, capture_output=True)

    fake_slurm.wait(fake_slurm.jobs[-1].id)
    assert (status()["state"], status()["failure_class"]) == ("failed", "app_failed")
    gate.touch()
    by_hand()
    wait_for("the attempt by hand to run", lambda: status()["state"] == "running", 120)
    assert status()["failure_class"] is None
    go.touch()
    fake_slurm.wait(fake_slurm.jobs[-1].id)
    assert status()["state"] == "completed"
    assert (run / "outputs" / "x.txt").read_text() == "done\n"
    gate.unlink()
    by_hand()
    fake_slurm.wait(fake_slurm.jobs[-1].id)
    assert status()["state"] == "completed"
    assert CliRunner().invoke(main, ["status", str(run)]).exit_code == 0


@pytest.mark.long
def test_a_rendered_run_directory_can_be_submitted(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    spec = {
        "name": "rendered",
        "pipeline": {"command": 'cat ${shard.files} > "${output_dir}/x.txt"'},
        "input": {"paths": [str(tmp_path / "in")]},
        "shards": {"files_per_shard": 1},
        "cluster": {"ray": False},
        "resources": {"nodes": 1, "time": 10},
        "environment": {"python": sys.executable},
    }
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    made = CliRunner().invoke(
        main, ["render", str(tmp_path / "spec.json"), "--cluster", "slurm", "--output", str(tmp_path / "there")]
    )
    assert made.exit_code == 0, made.output
    (run,) = (tmp_path / "there" / "rendered").iterdir()
    assert f"cd {run} && sbatch job.sbatch" in made.stdout
    assert not fake_slurm.jobs
    shown = CliRunner().invoke(main, ["status", "rendered"])
    assert "never submitted" in " ".join(shown.stdout.split())
    subprocess.run(["sbatch", "--parsable", "job.sbatch"], cwd=run, check=True, capture_output=True)
    fake_slurm.wait(fake_slurm.jobs[-1].id)
    assert CliRunner().invoke(main, ["status", "rendered"]).exit_code == 0
    assert sorted(path.read_text() for path in run.glob("outputs/*/x.txt")) == ["a", "b"]
    again = CliRunner().invoke(main, ["render", str(tmp_path / "spec.json"), "--output", str(tmp_path / "there")])
    assert again.exit_code == 0
    assert CliRunner().invoke(main, ["retry", "rendered"]).exit_code == 0
    fake_slurm.wait(fake_slurm.jobs[-1].id)
    assert CliRunner().invoke(main, ["status", "rendered"]).exit_code == 0


def test_a_run_that_failed_by_hand_alone_says_why(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    spec = {
        "name": "rendered",
        "pipeline": {"command": "exit 3"},
        "cluster": {"ray": False},
        "resources": {"nodes": 1, "time": 10},
        "environment": {"python": sys.executable},
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert CliRunner().invoke(main, ["render", str(tmp_path / "spec.json"), "--output", str(tmp_path)]).exit_code == 0
    (run,) = (tmp_path / "rendered").iterdir()
    subprocess.run(["sbatch", "--parsable", "job.sbatch"], cwd=run, check=True, capture_output=True)
    fake_slurm.wait(fake_slurm.jobs[-1].id)
    shown = json.loads(CliRunner().invoke(main, ["status", str(run), "--json"]).stdout)
    assert (shown["state"], shown["failure_class"]) == ("failed", "app_failed")
    assert "exit code 3" in shown["message"]
    assert CliRunner().invoke(main, ["retry", str(run), "--dry-run"]).exit_code == 0
