"""A whole run of modules beside the spec: as they were submitted, and without any that would hide installed ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from run_dirs import own_home

from curator_slurm.launcher.cli import main

__all__ = ["own_home"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("own_home")]

PIPELINE = """
from curator_slurm.executors import Pipeline
from helper import Say

def build(out):
    pipeline = Pipeline(name="x")
    pipeline.add_stage(Say(out))
    return pipeline
"""
HELPER = """
import json, os, pathlib, sys
from curator_slurm.executors import ProcessingStage

VERSION = "submitted"

class Say(ProcessingStage):
    name = "say"

    def __init__(self, out):
        self.out = out

    def inputs(self):
        return [], []

    def outputs(self):
        return [], []

    def process(self, task):
        import yaml, pandas, ray
        words = pathlib.Path(__file__).resolve().parent.joinpath("words.txt").read_text()
        said = {"version": VERSION, "file": __file__, "path": sys.path, "words": words}
        pathlib.Path(self.out, "said.json").write_text(json.dumps(said))
        return task
"""


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def test_a_run_has_the_code_that_was_submitted(tmp_path: Path) -> None:
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "pipeline.py").write_text(PIPELINE)
    (folder / "helper.py").write_text(HELPER)
    (folder / "words.txt").write_text("beside")
    for name in ("ray", "yaml", "click", "pandas", "random", "types", "psutil"):
        (folder / f"{name}.py").write_text("raise RuntimeError('not the installed one')\n")
    spec = {
        "name": "demo",
        "pipeline": {"entry": "pipeline:build", "args": {"out": "${output_dir}"}},
        "executor": {"backend": "ray_actor_pool"},
        "environment": {"python": sys.executable, "setup": [f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"]},
        "storage": {"runs": str(tmp_path / "runs")},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    submitted = call("submit", folder / "spec.yaml", "--cluster", "local")
    assert "Code     helper.py, pipeline.py as of now" in submitted.stdout
    assert "left out of the job: click.py, pandas.py" in submitted.stderr
    (folder / "helper.py").write_text("raise RuntimeError('edited')\n")  # while the job waits
    (tmp_path / "go").touch()
    call("watch", "demo")
    (outputs,) = (tmp_path / "runs").glob("demo/*/outputs")
    said = json.loads((outputs / "said.json").read_text())
    assert (said["version"], said["words"]) == ("submitted", "beside")
    assert said["file"] == str(outputs.parent / "code" / "helper.py")
    assert str(folder) not in said["path"]
