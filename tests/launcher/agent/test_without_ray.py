"""`cluster.ray: false`: whole runs of commands that need no Ray, with real agents, on this machine and a fake Slurm."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home, write_spec
from slurm_cluster.waiting import wait_for

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.runs.node_faults import faults_folder, read_faults
from curator_slurm.launcher.runs.registry import Run, load_run, run_directories

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")

SHOW = "import json, os, pathlib, sys; pathlib.Path(sys.argv[1], 'env.json').write_text(json.dumps(dict(os.environ)))"


def run(folder: Path, cluster: str, **more: Any) -> tuple[Result, Run]:
    spec = write_spec(
        folder,
        Path(sys.executable),
        **{
            "pipeline": {"command": ["python", "-c", SHOW, "${output_dir}"]},
            "cluster": {"ray": False, "join_timeout_s": 60},
            **more,
        },
    )
    result = CliRunner().invoke(main, ["run", str(spec), "--cluster", cluster])
    (directory,) = run_directories([folder / "runs"])
    return result, load_run(directory)


def events(run: Run) -> list[str]:
    (path,) = run.paths.root.glob("elements/*/events.jsonl")
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


def assert_no_ray(run: Run) -> None:
    for pattern in ("cluster.json", "nodes/*/ray*"):
        assert list(run.paths.root.glob(f"elements/*/{pattern}")) == []
    assert not run.paths.secrets.exists()
    assert "ray_head_started" not in events(run)


@pytest.mark.long
def test_what_a_command_writes_and_what_is_published_has_the_users_umask(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project").chmod(0o2775)
    written = tmp_path / "written"
    write = f"mkdir {written} ${{output_dir}}/deep; touch ${{output_dir}}/deep/file"
    before = os.umask(0o002)
    try:
        result, found = run(
            tmp_path, "local", pipeline={"command": write}, output={"path": str(tmp_path / "project" / "new" / "out")}
        )
    finally:
        os.umask(before)
    assert result.exit_code == 0, result.output
    out = tmp_path / "project" / "new" / "out"
    modes = {path.name: oct(path.stat().st_mode & 0o7777) for path in (written, out.parent, out, *out.rglob("*"))}
    assert modes == {
        "written": "0o775", "new": "0o2775", "out": "0o2775", "deep": "0o2775", "file": "0o664", "_shard.json": "0o664",
    }  # fmt: skip
    for path in (found.paths.root, found.paths.attempts, found.paths.elements):
        assert path.stat().st_mode & 0o077 == 0
    for path in found.paths.root.rglob("*"):
        assert path.is_symlink() or path.stat().st_mode & 0o022 == 0, path


def test_a_command_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEMO_CURATOR_SLURM_ARRAY_ENABLED", "1")  # the caller's own array
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    (out / "_shard.json").write_text('{"run_id": "20260101-000000-abcd", "files": [{"path": "old"}]}')
    result, found = run(tmp_path, "local", output={"path": str(out), "if_exists": "replace"})
    assert result.exit_code == 0, result.output
    assert "run 20260101-000000-abcd has published" in result.stderr
    assert_no_ray(found)
    assert {path.name for path in out.iterdir()} == {"env.json", "_shard.json"}
    seen = json.loads((out / "env.json").read_text())
    assert "RAY_ADDRESS" not in seen
    assert not Path(seen["TMPDIR"]).exists(), "the folder for temporary files outlived the run"
    assert seen["TMPDIR"].startswith("/tmp/cs-")
    assert "NEMO_CURATOR_SLURM_ARRAY_ENABLED" not in seen
    collected = CliRunner().invoke(main, ["collect", str(found.paths.root)])
    assert collected.exit_code == 0
    assert f"are published already: {out}" in collected.stdout


@pytest.mark.long
def test_its_failure_is_the_run_s(tmp_path: Path) -> None:
    result, found = run(tmp_path, "local", pipeline={"command": "echo no such luck >&2; exit 3"})
    assert result.exit_code == 6
    assert "no such luck" in result.output
    assert_no_ray(found)
    assert "when it succeeds, which it has not yet" in CliRunner().invoke(main, ["collect", found.run_id]).stderr


@pytest.mark.long
def test_the_other_nodes_stand_by(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    result, found = run(tmp_path, "slurm", resources={"nodes": 2})
    assert result.exit_code == 0, result.output
    assert_no_ray(found)
    assert events(found).count("node_joined") == 1
    (element,) = found.paths.elements.glob("*.0")

    def states() -> dict[str, str]:
        return {path.parent.name: json.loads(path.read_text())["state"] for path in element.glob("nodes/*/status.json")}

    assert states()["n1"] == "left"  # before the outcome, with which the run has ended
    wait_for("the other node to leave", lambda: states() == {"n1": "left", "n2": "left"})
    log = (element / "nodes" / "n2" / "agent.log").read_text()
    assert "lost" not in log


@pytest.mark.long
def test_a_node_that_does_not_come_is_named(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    result, found = run(
        tmp_path,
        "slurm",
        resources={"nodes": 2},
        environment={"python": sys.executable, "setup": ["hostname() { echo n2; }", "[[ $SLURM_NODEID != 1 ]]"]},
    )
    assert result.exit_code == 6
    assert "n2: environment.setup: this command failed" in " ".join(result.output.split())
    assert not (found.paths.outputs / "env.json").exists()
    [fault] = read_faults([faults_folder(found.paths)])  # its head counts it, for later attempts
    assert (fault.node, fault.failure_class, fault.run_id) == ("n2", "environment", found.run_id)


@pytest.mark.long
@pytest.mark.parametrize("enabled", [None, "false"])
def test_curator_s_own_arrays_are_off_in_a_shard(tmp_path: Path, enabled: str | None) -> None:
    """NeMo Curator's source stages would drop most of a shard: in an array element they divide what they read."""
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name)
    environment = {"python": sys.executable, "env": {"NEMO_CURATOR_SLURM_ARRAY_ENABLED": enabled} if enabled else {}}
    result, found = run(
        tmp_path,
        "local",
        input={"paths": [str(tmp_path / "*.txt")]},
        shards={"count": 2},
        environment=environment,
    )
    assert result.exit_code == 0, result.output
    for shard in range(2):
        seen = json.loads((found.paths.shard_outputs(shard) / "env.json").read_text())
        assert seen["NEMO_CURATOR_SLURM_ARRAY_ENABLED"] == "0"
        assert os.fspath(found.paths.root) == seen["CURATOR_SLURM_RUN_DIR"]
