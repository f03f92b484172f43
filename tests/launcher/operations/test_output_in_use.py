"""Two runs with one output.path: the second is refused while the first is under way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.runs.registry import load_run

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


def submit(
    folder: Path, name: str, output: Path, expect: int = 0, runs: str = "runs", if_exists: str = "fail"
) -> Result:
    spec = {
        "name": name,
        "pipeline": {"command": 'echo x > "${output_dir}/x.txt"'},
        "output": {"path": str(output), "if_exists": if_exists},
        "cluster": {"ray": False},
        "resources": {"nodes": 1, "time": 10},
        "storage": {"runs": str(folder / runs)},
        "environment": {"python": sys.executable},
    }
    (folder / f"{name}.json").write_text(json.dumps(spec))
    result = CliRunner().invoke(main, ["submit", str(folder / f"{name}.json"), "--cluster", "slurm", "--no-import"])
    assert result.exit_code == expect, result.output
    return result


@pytest.mark.parametrize("second", ["out", "out/inside", "."])
def test_the_second_is_refused_while_the_first_is_under_way(tmp_path: Path, fake_slurm: FakeSlurm, second: str) -> None:
    keep_element(fake_slurm)
    fake_slurm.pause()
    place = tmp_path / "data"
    submit(tmp_path, "first", place / "out")
    (first,) = (tmp_path / "runs" / "first").iterdir()
    refused = submit(tmp_path, "second", place / second, expect=2, runs="other")
    assert f"run {first.name} (first) is pending and publishes to {place / 'out'}, too" in refused.stderr
    assert f"curator-slurm watch {first.name}" in refused.stderr
    assert not (tmp_path / "other").exists()
    assert len(fake_slurm.jobs) == 1


@pytest.mark.long
def test_others_are_not(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    fake_slurm.pause()
    submit(tmp_path, "first", tmp_path / "out")
    submit(tmp_path, "second", tmp_path / "out-2")
    (first,) = (tmp_path / "runs" / "first").iterdir()
    assert CliRunner().invoke(main, ["cancel", str(first)]).exit_code == 0
    submit(tmp_path, "third", tmp_path / "out")


@pytest.mark.long
def test_a_new_version_is_taken_while_the_first_is_under_way(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    fake_slurm.pause()
    for name, version in (("first", "out"), ("second", "out-2"), ("third", "out-3")):
        said = submit(tmp_path, name, tmp_path / "out", if_exists="new_version")
        (run,) = (tmp_path / "runs" / name).iterdir()
        assert load_run(run).record.output_path == str(tmp_path / version)  # type: ignore[union-attr]
        assert (f"the outputs go to {tmp_path / version}" in said.stderr) == (version != "out")
    (first,) = (tmp_path / "runs" / "first").iterdir()
    assert CliRunner().invoke(main, ["cancel", str(first)]).exit_code == 0
    submit(tmp_path, "fourth", tmp_path / "out", if_exists="new_version")
    (fourth,) = (tmp_path / "runs" / "fourth").iterdir()
    assert load_run(fourth).record.output_path == str(tmp_path / "out")  # type: ignore[union-attr]
