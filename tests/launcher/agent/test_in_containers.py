"""Whole runs in containers, with real agents: runtimes are stand-ins that refuse what the real ones do not know."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import container_stand_ins
import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home

from curator_slurm.launcher.agent import image_check
from curator_slurm.launcher.cli import main
from curator_slurm.launcher.runs.registry import Run, load_run, run_directories
from curator_slurm.launcher.runs.travelling_package import LINK

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")

SHOW = (
    "import json, os, pathlib, sys, curator_slurm; "
    "pathlib.Path(sys.argv[1], 'seen.json').write_text(json.dumps([curator_slurm.__file__, dict(os.environ)])); "
    "sys.exit(int(os.environ.get('ENDS_WITH', 0)))"
)


@pytest.fixture
def runtimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for all runtimes on PATH; the folder with the command line that was used."""
    folder = tmp_path / "runtimes"
    folder.mkdir()
    for name in container_stand_ins.OPTIONS:
        path = folder / container_stand_ins.PROGRAMS.get(name, name)
        path.write_text(f"#!{sys.executable}\n" + Path(container_stand_ins.__file__).read_text())
        path.chmod(0o755)
    (folder / "container_options.toml").write_text(
        Path(container_stand_ins.__file__).with_name("container_options.toml").read_text()
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CONTAINER_STAND_IN_LOG", str(tmp_path / "called"))
    (tmp_path / "image.sif").write_text("")
    (tmp_path / "image/bin").mkdir(parents=True)
    return folder


def run(folder: Path, container: Any, cluster: str = "local", **environment: Any) -> tuple[Result, Run]:
    spec = {
        "name": "demo",
        "pipeline": {"command": ["python", "-c", SHOW, "${output_dir}"]},
        "cluster": {"ray": False, "join_timeout_s": 60},
        "environment": {"python": sys.executable, "container": container, **environment},
        "storage": {"runs": str(folder / "runs"), "node_local": str(folder)},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    result = CliRunner().invoke(main, ["run", str(folder / "spec.yaml"), "--cluster", cluster])
    (directory,) = run_directories([folder / "runs"])
    return result, load_run(directory)


def seen(run: Run) -> tuple[str, dict[str, str]]:
    module, environ = json.loads((run.paths.outputs / "seen.json").read_text())
    return module, environ


@pytest.mark.usefixtures("runtimes")
@pytest.mark.parametrize("runtime", ["apptainer", "charliecloud", "podman"])
def test_the_package_and_the_environment_are_there_inside(tmp_path: Path, runtime: str) -> None:
    image = tmp_path / ("image.sif" if runtime == "apptainer" else "image")
    env = {"WITH": "blank and 'quote'\nand a line", "CURATOR_SLURM_X": "1"}
    result, done = run(tmp_path, {"image": str(image), "runtime": runtime}, env=env, setup="export SET=up")
    assert result.exit_code == 0, result.output
    module, environ = seen(done)
    assert module == str((done.paths.root / LINK) / "curator_slurm" / "__init__.py")
    assert environ["WITH"] == env["WITH"]
    assert environ["SET"] == "up"
    called = (tmp_path / "called").read_text()
    assert str(image) in called
    assert "blank and" not in called  # command lines are public
    assert list(done.paths.root.glob("elements/*/nodes/*/container.env")) == []
    if runtime == "podman":  # the folder on the node that it was given
        assert not Path(called.partition("--root=")[2].partition("/root\n")[0]).exists()


@pytest.mark.usefixtures("runtimes")
@pytest.mark.parametrize(("code", "of_verb"), [(0, 0), (3, 6)])
def test_a_run_lasts_as_long_as_its_container_where_podman_itself_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, of_verb: int
) -> None:
    monkeypatch.setenv("CONTAINER_STAND_IN_LEAVES", "1")
    folder = tmp_path / "a+b"  # what a regular expression would read in another way
    folder.mkdir()
    container = {"image": str(tmp_path / "image"), "runtime": "podman"}
    result, done = run(folder, container, env={"ENDS_WITH": str(code)})
    assert result.exit_code == of_verb, result.output
    assert code == 0 or f"the driver ended with exit code {code}" in result.output
    assert (done.paths.outputs / "seen.json").exists() == (code == 0)
    assert list(done.paths.root.glob("elements/*/nodes/*/container.*")) == []


@pytest.mark.usefixtures("runtimes")
def test_what_podman_has_left_is_removed_by_the_next_run(tmp_path: Path) -> None:
    """Where nobody has cleaned up, as after a power cut; another run's folder, and another node's, stay."""
    node = subprocess.run(["hostname", "-s"], capture_output=True, text=True, check=True).stdout
    left, used, others = (Path(tempfile.mkdtemp(prefix="cs-container-", dir="/tmp")) for _ in range(3))
    try:
        for folder in (left, used, others):
            (folder / "root/overlay/work").mkdir(parents=True)
            (folder / "owner").write_text("elsewhere\n" if folder == others else node)
        (left / "root/overlay/work").chmod(0)
        with (used / "owner").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result, _ = run(tmp_path, {"image": str(tmp_path / "image"), "runtime": "podman"})
        assert result.exit_code == 0, result.output
        assert not left.exists()
        assert (used / "root").is_dir()
        assert (others / "root").is_dir()
    finally:
        for folder in (left, used, others):
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.usefixtures("runtimes")
def test_what_programs_put_into_a_home_that_is_not_there_goes_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/nobody")  # where not even root can make one
    result, done = run(tmp_path, {"image": str(tmp_path / "image.sif"), "runtime": "apptainer"})
    assert result.exit_code == 0, result.output
    _, environ = seen(done)
    assert environ["HOME"] == environ["TMPDIR"]
    assert "CURATOR_SLURM_NO_HOME" not in environ
    assert not Path(environ["HOME"]).exists()


@pytest.mark.usefixtures("runtimes")
def test_auto_says_which_runtime_it_takes(tmp_path: Path) -> None:
    result, done = run(tmp_path, str(tmp_path / "image.sif"))
    assert result.exit_code == 0, result.output
    (log,) = done.paths.root.glob("slurm-*.log")
    assert "apptainer starts the container" in log.read_text()


def test_a_node_without_any_runtime_says_which_it_has_looked_for(
    tmp_path: Path, runtimes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in runtimes.iterdir():
        program.unlink()
    result, done = run(tmp_path, {"image": str(tmp_path / "image.sif"), "runtime": "apptainer"})
    assert result.exit_code == 6
    assert "no container runtime of these: apptainer" in result.output
    assert done.record is not None


def test_a_container_that_does_not_start_is_said_with_its_runtime(tmp_path: Path, runtimes: Path) -> None:
    (runtimes / "apptainer").write_text("#!/bin/bash\necho 'FATAL: no such image' >&2\nexit 255\n")
    result, _ = run(tmp_path, {"image": str(tmp_path / "image.sif"), "runtime": "apptainer"})
    assert result.exit_code == 6
    assert "apptainer could not start the container: exit code 255" in result.output


@pytest.mark.usefixtures("runtimes")
def test_an_image_without_what_the_agent_needs_is_said_with_the_modules(tmp_path: Path) -> None:
    python = tmp_path / "bare-python"
    python.write_text(f'#!/bin/bash\nexec {os.path.realpath(sys.executable)} -I -S "$@"\n')
    python.chmod(0o755)
    container = {"image": str(tmp_path / "image.sif"), "runtime": "apptainer"}
    result, _ = run(tmp_path, container, python=str(python))
    assert result.exit_code == 6
    assert "the Python of the container has no PyYAML, pydantic, psutil, ray" in result.output
    assert "pip install 'ray[default]' pyyaml pydantic psutil" in result.output


@pytest.mark.usefixtures("runtimes")
def test_runs_share_one_package_that_nobody_changes(tmp_path: Path) -> None:
    container = {"image": str(tmp_path / "image.sif"), "runtime": "apptainer"}
    _, first = run(tmp_path, container)
    second = CliRunner().invoke(main, ["submit", str(tmp_path / "spec.yaml"), "--cluster", "local", "--json"])
    again = load_run(Path(json.loads(second.output)["run_dir"]))
    assert (first.paths.root / LINK).resolve() == (again.paths.root / LINK).resolve()
    (folder,) = (tmp_path / "runs" / "demo" / ".package").iterdir()
    assert folder == (first.paths.root / LINK).resolve()
    module = folder / "curator_slurm" / "launcher" / "agent" / "node_agent.py"
    assert module.stat().st_mode & 0o222 == 0
    assert module.parent.stat().st_mode & 0o222 == 0


@pytest.mark.usefixtures("runtimes")
def test_a_retry_in_a_container_says_that_the_software_is_another(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """And the run, which had none, gets the package."""
    keep_element(fake_slurm)
    fails = ["python", "-c", "import os, sys; sys.exit('CURATOR_SLURM_PACKAGE' not in os.environ)"]
    spec = {
        "name": "demo",
        "pipeline": {"command": fails},
        "cluster": {"ray": False, "join_timeout_s": 60},
        "environment": {"python": sys.executable},
        "storage": {"runs": str(tmp_path / "runs"), "node_local": str(tmp_path)},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    assert CliRunner().invoke(main, ["run", str(tmp_path / "spec.yaml"), "--cluster", "slurm"]).exit_code != 0
    (directory,) = run_directories([tmp_path / "runs"])
    assert not (directory / LINK).exists()

    image = tmp_path / "image.sqsh"
    image.write_text("")
    container = f"environment.container={{image: {image}, runtime: pyxis}}"
    retried = CliRunner().invoke(main, ["retry", str(directory), "--set", container])
    assert retried.exit_code == 0, retried.output
    assert f"environment.container: {image} from now on, no container before;" in " ".join(retried.output.split())
    assert (directory / LINK / "curator_slurm").is_dir()
    watched = CliRunner().invoke(main, ["watch", str(directory)])
    assert watched.exit_code == 0, watched.output


@pytest.mark.usefixtures("runtimes")
def test_with_pyxis_the_step_is_the_container(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    keep_element(fake_slurm)
    (tmp_path / "image.sqsh").write_text("")
    result, done = run(tmp_path, {"image": str(tmp_path / "image.sqsh"), "runtime": "pyxis"}, cluster="slurm")
    assert result.exit_code == 0, result.output
    module, _ = seen(done)
    assert module == str((done.paths.root / LINK) / "curator_slurm" / "__init__.py")


def test_an_interpreter_of_the_image_that_has_ray_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a shell finds the system's Python first, as it does in an image as a folder."""
    monkeypatch.setattr(image_check, "_USUAL", (sys.prefix, str(tmp_path / "without"), str(tmp_path / "venv")))
    monkeypatch.setattr(image_check, "has", lambda module: module != "ray")
    for name in ("without", "venv"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/python3").symlink_to(sys.executable)
    assert "with environment.python, such as /opt/venv/bin/python, or add" in image_check.problem()[1]
    (tmp_path / "venv/lib/python3.13/site-packages/ray").mkdir(parents=True)
    (tmp_path / "venv/lib/python3.13/site-packages/ray/_version.py").touch()
    assert f"with environment.python: {tmp_path}/venv/bin/python3, or add" in image_check.problem()[1]


@pytest.mark.usefixtures("runtimes")
@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ({"PATH": "/no/where"}, "PATH in the container is /no/where, where there is no bash"),
        ({"PYTHONHOME": "/no/where"}, "the Python of the container does not run"),
    ],
)
def test_variables_with_which_nothing_runs_are_said(tmp_path: Path, variable: dict[str, str], expected: str) -> None:
    result, _ = run(tmp_path, {"image": str(tmp_path / "image.sif"), "runtime": "apptainer"}, env=variable)
    assert result.exit_code == 6
    assert expected in " ".join(result.output.split())
    assert "environment.setup" in result.output


@pytest.mark.parametrize(
    ("lacks", "version", "expected"),
    [
        ("pydantic", "9", "the Python of the container has no pydantic: "),
        ("", "2.9.3", "ray 2.9.3 in the container is too old: at least 2.52 is needed"),
    ],
)
def test_what_the_image_lacks_is_said_by_name(
    monkeypatch: pytest.MonkeyPatch, lacks: str, version: str, expected: str
) -> None:
    monkeypatch.setattr(image_check, "has", lambda module: module != lacks)
    monkeypatch.setattr(image_check, "version", lambda _: version)
    assert image_check.problem()[0].startswith(expected)
    assert "pip install '" in image_check.problem()[1]
