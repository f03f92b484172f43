"""The verbs that write and check specs: init, validate, render, schema."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from curator_slurm.launcher import cli
from curator_slurm.launcher.cli.init import KINDS
from curator_slurm.launcher.spec.starters import PURPOSES, name_for


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run curator-slurm in an empty folder."""
    folder = tmp_path / "my project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CURATOR_SLURM_RUNS", raising=False)
    return lambda *arguments: CliRunner().invoke(cli.main, list(arguments))


@pytest.fixture
def here(run, tmp_path):
    return tmp_path / "my project"


@pytest.mark.parametrize("kind", KINDS)
def test_a_starter_is_valid_once_its_input_is_there(run, here, kind):
    result = run("init", "--kind", kind)
    assert result.exit_code == 0, result.output
    assert "curator-slurm validate spec.yaml" in result.output
    missing = run("validate", "spec.yaml")
    assert missing.exit_code == 2
    assert "no files match" in missing.stderr
    assert missing.stderr.count("\n") == 2
    (here / "data").mkdir()
    (here / "data" / "a.jsonl").touch()
    valid = run("validate", "spec.yaml", "--cluster", "slurm")
    assert valid.output == "spec.yaml is valid: my-project on Slurm, 2 nodes.\n"


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_every_comment_of_a_starter_that_is_yaml_is_valid_too(run, here, kind):
    (here / "data").mkdir()
    (here / "data" / "a.jsonl").touch()
    run("init", "--kind", kind)
    text = (here / "spec.yaml").read_text()
    for line in ("  # gpus_per_node: 4", "  # cpus_per_node: 32", "  # mem_per_node: 200G", "  # partition: gpu"):
        assert line in text
        text = text.replace(line, line.replace("# ", "", 1))
    for start in ("# output:\n#   path", "# storage:\n#   runs"):
        assert start in text
        text = text.replace(start, start.replace("# ", "", 1).replace("#   ", "  "))
    (here / "spec.yaml").write_text(text)
    result = CliRunner(env={"USER": "ann"}).invoke(cli.main, ["validate", "spec.yaml", "--set", "storage.runs=r"])
    assert result.exit_code == 0, result.output


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_starter_with_shards_is_valid(run, here, kind):
    (here / "data").mkdir()
    for name in "abc":
        (here / "data" / f"{name}.jsonl").write_text("{}\\n")
    assert run("init", "--kind", kind, "--shards").exit_code == 0
    valid = run("validate", "spec.yaml", "--cluster", "slurm")
    assert valid.output == "spec.yaml is valid: my-project on Slurm, 2 nodes.\n"
    planned = run("plan", "spec.yaml", "--set", "shards.files_per_shard=1")
    assert "Shards    3" in planned.stdout, planned.output


def test_the_starter_of_an_entry_comes_with_its_function(run, here, monkeypatch):
    result = run("init", "sub.yaml", "--kind", "entry")
    assert "Wrote pipelines.py" in result.output
    monkeypatch.syspath_prepend(str(here))
    names = {}
    exec((here / "pipelines.py").read_text(), names)
    pipeline = names["build"](files=["a.jsonl"], output=str(here / "out"))
    assert pipeline.name == "my-project"
    assert len(pipeline.stages) == 3
    (here / "pipelines.py").write_text("mine")
    assert "Kept pipelines.py, which exists" in run("init", "other.yaml", "--kind", "entry").output
    assert (here / "pipelines.py").read_text() == "mine"
    run("init", "other.yaml", "--kind", "entry", "--force")
    assert (here / "pipelines.py").read_text() != "mine"


def test_init_keeps_what_is_there(run, here):
    (here / "spec.yaml").write_text("mine")
    result = run("init")
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert (here / "spec.yaml").read_text() == "mine"
    assert run("init", "--force").exit_code == 0
    assert (here / "spec.yaml").read_text() != "mine"


def test_init_refuses_what_cannot_be(run, here):
    assert "is a folder" in run("init", ".").stderr
    assert "cannot write" in run("init", "no/such/folder.yaml").stderr
    assert "--name 'a b'" in run("init", "--name", "a b").stderr
    assert not list(here.iterdir())


def test_init_lists_the_kinds(run, here):
    result = run("init", "--list")
    for kind in KINDS:
        assert PURPOSES[kind] in result.output
    assert not list(here.iterdir())


def test_names_from_folders(tmp_path):
    assert name_for(tmp_path / "My Projekt (2)" / "spec.yaml") == "My-Projekt-2"
    assert name_for(tmp_path / "漢字" / "spec.yaml") == "my-run"


def test_validate_reports_all_errors(run, here):
    (here / "s.yaml").write_text(
        "name: x y\npipeline: {command: a}\nresources: {gpu_per_node: 4}\nrestart: {max_restart: 2}\n"
    )
    result = run("validate", "s.yaml", "--set", "executor.backend=xena")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == "Error: s.yaml: 4 errors"
    assert lines[2] == "  s.yaml:3: `resources.gpu_per_node` is not a known setting; did you mean `gpus_per_node`?"
    assert lines[4].startswith("  --set: `executor.backend` must be one of")


def test_validate_as_json(run, here):
    (here / "s.yaml").write_text("name: x\npipeline: {command: a}\n")
    result = run("validate", "s.yaml", "--json", "--cluster", "local")
    assert json.loads(result.stdout) == {
        "valid": True,
        "problems": [],
        "warnings": [],
        "name": "x",
        "cluster": "local",
    }
    result = run("validate", "s.yaml", "--json", "--set", "nodes=3")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "valid": False,
        "problems": [
            {
                "key": "nodes",
                "where": "--set",
                "message": "`nodes` is not a known setting; did you mean `resources.nodes`?",
            }
        ],
        "warnings": [],
    }


def test_nothing_is_written(run, here, tmp_path):
    (here / "s.yaml").write_text("name: x\npipeline: {command: a}\n")
    run("validate", "s.yaml")
    run("render", "s.yaml")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["my project", "s.yaml"]


def test_render_prints_the_script_alone(run, here):
    (here / "s.yaml").write_text("name: x\npipeline: {command: a}\nenvironment: {env: {A: é}}\n")
    result = run("render", "s.yaml", "--cluster", "slurm", "--set", "resources.nodes=3")
    assert result.exit_code == 0
    assert result.stdout.startswith("#!/bin/bash\n")
    assert "#SBATCH --nodes=3\n" in result.stdout
    assert "export A='é'\n" in result.stdout
    assert result.stdout.endswith('exit "$code"\n')
    assert result.stderr == ""
    assert "#SBATCH" not in run("render", "s.yaml", "--cluster", "local").stdout
    assert run("render", "s.yaml", "--set", "x=1").exit_code == 2


def test_suggested_commands_can_be_pasted(run, here):
    folder = here / "it's 5 o'clock"
    (here / "s.yaml").write_text("name: x\npipeline: {command: a}\n")
    result = run("render", "s.yaml", "--cluster", "local", "--output", str(folder))
    (command,) = (line.partition("  ")[2] for line in result.stdout.splitlines() if line.startswith("Submit it with"))
    assert (run_folder := Path(shlex.split(command)[-1])).parent == folder / "x"
    assert (run_folder / "job.sbatch").exists()
    command = run("init", str(folder / "s.yaml")).stdout.split("`")[1]
    assert shlex.split(command)[-1] == str(folder / "s.yaml")


def test_schema(run):
    result = run("schema")
    schema = json.loads(result.stdout)
    assert schema["required"] == ["name", "pipeline"]
    assert not schema["additionalProperties"]
    assert "restart" in schema["properties"]
    assert '"ge"' not in result.stdout
    assert "resources" in schema["properties"]


def test_validate_warns_of_what_looks_like_a_secret(run, here):
    """With the line and the cure; a warning is no error, and stands beside errors."""
    (here / "s.yaml").write_text("name: n\npipeline: {command: 'true'}\nenvironment:\n  env: {HF_TOKEN: x1y2z3}\n")
    result = run("validate", "s.yaml", "--cluster", "local")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: s.yaml:4: `environment.env.HF_TOKEN` looks like a secret")
    assert "environment.secrets" in result.stderr
    assert "x1y2z3" not in result.output
    wrong = run("validate", "s.yaml", "--cluster", "local", "--set", "resources.nodes=0")
    assert wrong.exit_code == 2
    assert "Warning: s.yaml:4" in wrong.stderr
    document = json.loads(run("validate", "s.yaml", "--cluster", "local", "--json").stdout)
    assert [warning["key"] for warning in document["warnings"]] == ["environment.env.HF_TOKEN"]


def test_submit_warns_too(run, here):
    (here / "s.yaml").write_text("name: n\npipeline: {command: 'true'}\nenvironment:\n  env: {HF_TOKEN: x1y2z3}\n")
    result = run("submit", "s.yaml", "--cluster", "local", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Note: s.yaml:4: `environment.env.HF_TOKEN`" in result.stderr


@pytest.mark.parametrize("verb", ["validate", "plan"])
def test_a_spec_from_a_process_substitution(run, here, verb):
    run("init", "--kind", "command")
    (here / "data").mkdir()
    (here / "data" / "a.jsonl").touch()
    command = f"{shlex.quote(sys.executable)} -m curator_slurm {verb} <(cat spec.yaml) --cluster slurm"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "my-project" in done.stdout
