"""`curator-slurm doctor` from the command line, with real node processes on a fake Slurm."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import container_stand_ins
import jsonschema
import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home, write_spec

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.cli.schema import documents
from curator_slurm.launcher.status.view_schema import schema_of

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["doctor", *map(str, arguments)], catch_exceptions=False)


def of(done: Result) -> dict[str, Any]:
    """What --json has printed, which fits its schema."""
    found: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(found, schema_of("doctor", documents()["doctor"]))
    return found


def failed(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(each["name"], each["nodes"]) for each in found["checks"] if each["result"] == "failed"]


def spec(folder: Path, **more: Any) -> Path:
    more.setdefault("environment", {"python": sys.executable})
    return write_spec(folder, Path(sys.executable), **more)


def test_this_machine(tmp_path: Path, fake_slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    done = doctor()
    assert done.exit_code == 0, done.output
    assert "doctor --nodes 2" in done.stdout
    found = of(doctor("--json"))
    assert (found["healthy"], found["nodes"], found["job_id"]) == (True, [], "")
    assert fake_slurm.calls_of("sbatch") == []


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    done = doctor("--nodes", 2, "--json")
    assert done.exit_code == 6
    assert failed(of(done)) == [("slurm", [])]
    alone = of(doctor("--json"))
    assert [each["name"] for each in alone["checks"] if each["result"] == "warning"] == ["slurm"]


def test_slurm_commands_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sbatch", "scontrol"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'Could not establish a configuration source' >&2; exit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(tmp_path / "runs"))
    (check,) = [each for each in of(doctor("--json"))["checks"] if each["name"] == "slurm"]
    assert "Could not establish a configuration source" in check["message"]
    assert "--cluster local" in check["next_step"]


@pytest.mark.usefixtures("fake_slurm")
def test_a_wrong_spec_and_a_wrong_runs_folder(tmp_path: Path) -> None:
    wrong = spec(tmp_path, resources={"nodse": 2})
    assert failed(of(doctor("--spec", wrong, "--nodes", 2, "--json"))) == [("spec", [])]
    (tmp_path / "file").touch()
    wrong = spec(tmp_path, storage={"runs": str(tmp_path / "file" / "runs")})
    assert failed(of(doctor("--spec", wrong, "--json")))[0][0] == "spec"
    assert doctor("--spec", tmp_path / "none.yaml").exit_code in (2, 6)


def test_two_nodes(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    path = spec(
        tmp_path,
        resources={"nodes": 7, "time": "2-00:00:00"},
        cluster={"min_nodes": 4, "head": "dedicated"},
        shards={"count": 2},
        input={"paths": [str(tmp_path / "spec.yaml")]},
        output={"collect": "auto"},
    )
    done = doctor("--spec", path, "--nodes", 2, "--json")
    assert done.exit_code == 0, done.output
    found = of(done)
    assert (found["healthy"], found["nodes"], found["job_id"]) == (True, ["n1", "n2"], "1")
    right = {each["name"] for each in found["checks"] if each["result"] == "ok" and each["nodes"] == ["n1", "n2"]}
    assert {"software", "shared-storage", "storage-semantics", "paths", "node-local", "address", "ports"} <= right
    assert {"reachability", "clock", "versions", "ray"} <= right
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [], "it leaves nothing behind"
    (call,) = fake_slurm.calls_of("sbatch")
    assert "--array" not in " ".join(call)


def test_faults_of_one_node_are_found_at_once(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    old = tmp_path / "old" / "ray-2.40.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: ray\nVersion: 2.40.0\n")
    on_second = f"export PYTHONPATH={tmp_path}/old https_proxy=http://p:1; ulimit -n 500"
    path = spec(
        tmp_path,
        environment={"python": sys.executable, "setup": [f"[[ $SLURM_NODEID != 1 ]] || {{ {on_second}; }}"]},
    )
    found = of(doctor("--spec", path, "--nodes", 2, "--json"))
    assert failed(found) == [("versions", ["n2"]), ("ray", ["n2"])]
    warned = [(each["name"], each["nodes"]) for each in found["checks"] if each["result"] == "warning"]
    assert {("proxies", "n2"), ("limits", "n2")} <= {(name, *nodes) for name, nodes in warned}
    assert fake_slurm.calls_of("scancel")


def test_a_node_on_which_the_software_does_not_start(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    setup = ["hostname() { echo n2; }", "[[ $SLURM_NODEID != 1 ]]"]
    path = spec(tmp_path, environment={"python": sys.executable, "setup": setup})
    done = doctor("--spec", path, "--nodes", 2, "--json")
    assert done.exit_code == 6
    found = of(done)
    assert failed(found) == [("software", ["n2"])]
    (wrong,) = [each for each in found["checks"] if each["name"] == "software" and each["result"] == "failed"]
    assert "environment.setup: this command failed" in wrong["message"]


def test_nodes_in_a_container(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    runtime, image = fake_slurm.bin / "apptainer", tmp_path / "image.sif"
    text = Path(container_stand_ins.__file__).read_text()
    options = Path(container_stand_ins.__file__).with_name("container_options.toml").read_text()
    (fake_slurm.bin / "container_options.toml").write_text(options)
    runtime.write_text(f"#!{sys.executable}\n{text}")
    runtime.chmod(0o755)
    image.touch()
    container = {"image": str(image), "runtime": "apptainer"}
    storage = {"runs": str(tmp_path / "runs"), "node_local": str(tmp_path)}
    path = spec(tmp_path, environment={"python": sys.executable, "container": container}, storage=storage)
    found = of(doctor("--spec", path, "--nodes", 2, "--json"))
    assert failed(found) == [], [each["message"] for each in found["checks"] if each["result"] == "failed"]
    (inside,) = [each for each in found["checks"] if each["name"] == "containers"]
    assert (inside["result"], inside["nodes"]) == ("ok", ["n1", "n2"])
    runtime.write_text("#!/bin/bash\nexit 255\n")
    found = of(doctor("--spec", path, "--nodes", 2, "--json"))
    assert {name for name, _ in failed(found)} == {"containers"}


def test_a_job_that_slurm_refuses(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    fake_slurm.fail_next("sbatch", stderr="sbatch: error: invalid partition specified: nosuch", times=9)
    found = of(doctor("--spec", spec(tmp_path), "--nodes", 2, "--json"))
    assert failed(found) == [("job", [])]


def test_a_job_that_does_not_start_in_time(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    path = spec(tmp_path, environment={"python": sys.executable, "setup": ["sleep 60"]})
    done = doctor("--spec", path, "--nodes", 2, "--wait", 3, "--json")
    found = of(done)
    assert failed(found) == [("job", [])]
    assert "has not answered in time" in str(found["checks"])
    assert any("1" in call for call in fake_slurm.calls_of("scancel"))


@pytest.mark.parametrize("nodes", ["0", "-1", "two"])
def test_bad_usage(nodes: str) -> None:
    assert doctor("--nodes", nodes).exit_code == 2
