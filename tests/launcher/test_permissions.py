"""What the kernel denies to ordinary users is said in words. Where root runs the suite, somebody else runs these."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.listing import list_inputs
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.spec.data_sections import InputSpec

pytestmark = pytest.mark.ordinary_user


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder that lets nobody in, with a file in it."""
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "data.jsonl").write_text('{"row": 0}\n')
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing can be made."""
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o700)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def submit(folder: Path, more: str = "") -> Result:
    spec = folder / "spec.yaml"
    spec.write_text(f"name: demo\npipeline: {{command: 'true'}}\n{more}")
    return call("submit", spec, "--cluster", "local")


def test_a_runs_folder_that_cannot_be_written(tmp_path: Path, read_only: Path) -> None:
    done = submit(tmp_path, f"storage: {{runs: {read_only}/runs}}\n")
    assert done.exit_code == 2, done.output
    assert str(read_only) in done.output
    assert "storage.runs" in done.output


def test_outputs_that_cannot_be_written(tmp_path: Path, read_only: Path) -> None:
    done = submit(tmp_path, f"storage: {{runs: {tmp_path}/runs}}\noutput: {{path: {read_only}/out}}\n")
    assert done.exit_code == 2, done.output
    assert f"{read_only}" in done.output
    assert "output.path" in done.output


@pytest.mark.parametrize("pattern", ["{}", "{}/data.jsonl", "{}/*.jsonl"])
def test_inputs_that_cannot_be_read(tmp_path: Path, locked: Path, pattern: str) -> None:
    files = pattern.format(locked)
    done = submit(tmp_path, f"storage: {{runs: {tmp_path}/runs}}\ninput: {{paths: '{files}'}}\nshards: {{count: 1}}\n")
    assert done.exit_code != 0
    assert not isinstance(done.exception, OSError), done.exception
    assert str(locked) in done.output
    assert "ermission denied" in done.output


def test_a_file_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(mode=0)
    with pytest.raises(StorageError, match="secret cannot be read: Permission denied"):
        list_inputs(InputSpec(paths=[str(tmp_path)]))


def test_a_spec_that_cannot_be_read(locked: Path) -> None:
    done = call("submit", locked / "spec.yaml", "--cluster", "local")
    assert done.exit_code == 2, done.output
    assert str(locked) in done.output


def test_runs_of_somebody_else(locked: Path) -> None:
    done = call("status", locked)
    assert done.exit_code != 0
    assert not isinstance(done.exception, OSError), done.exception
    assert str(locked) in done.output


def test_a_lock_that_cannot_be_made(read_only: Path) -> None:
    with pytest.raises(StorageError, match="read-only"), RunLock(read_only / ".lock", "retry"):
        pass


PATHS = {
    "locked": "{}/locked/inside/it",
    "long": "{}/" + "a" * 300,
    "longer": "{}" + "/abcdefgh" * 600,
    "a circle": "{}/circle/inside",
    "below a file": "{}/file/inside",
}
SETTINGS = ("output.path", "storage.runs", "environment.python", "environment.venv", "environment.conda",
            "input.paths", "input.manifest", "pipeline.file", "pipeline.checkpoint_path")  # fmt: skip


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", PATHS)
def test_paths_of_a_spec_that_nobody_can_enter(tmp_path: Path, kind: str, setting: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "file").touch()
    section, _, key = setting.partition(".")
    path = PATHS[kind].format(tmp_path) + {"manifest": ".txt", "file": ".yaml"}.get(key, "")
    spec: dict[str, Any] = {"name": "demo", "storage": {"runs": f"{tmp_path}/runs"}}
    pipelines = {"pipeline.file": {}, "pipeline.checkpoint_path": {"entry": "a:b"}}
    spec["pipeline"] = pipelines.get(setting, {"command": "true"})
    spec[section] = {**spec.get(section, {}), key: [path] if key == "paths" else path}
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    done = call("validate", tmp_path / "spec.yaml", "--cluster", "local")
    if setting.startswith("environment.") and kind in ("below a file", "a circle") and done.exit_code == 0:
        return  # it may be there on the nodes
    assert done.exit_code == 2, done.output
    assert setting in done.output


def odd(folder: Path) -> Path:
    """A folder whose name is no UTF-8."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/odd\xff"))
    path.mkdir()
    return path


@pytest.mark.parametrize("setting", SETTINGS)
def test_set_takes_text_alone(tmp_path: Path, setting: str) -> None:
    (tmp_path / "spec.yaml").write_text("{name: demo, pipeline: {command: 'true'}}")
    done = call("validate", tmp_path / "spec.yaml", "--set", f"{setting}={odd(tmp_path)}/x")
    assert (done.exit_code, "is not UTF-8" in done.output, setting in done.output) == (2, True, True), done.output


@pytest.mark.parametrize("verb", ["validate", "plan", "render", "submit"])
def test_a_spec_and_runs_in_folders_whose_names_are_no_text(
    tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = odd(tmp_path)
    for path in (tmp_path / "spec.yaml", folder / "spec.yaml"):
        path.write_text("{name: demo, pipeline: {command: 'true'}}")
    there = call(verb, folder / "spec.yaml", "--cluster", "local")
    monkeypatch.setenv("CURATOR_SLURM_RUNS", str(folder / "runs"))
    runs = call(verb, tmp_path / "spec.yaml", "--cluster", "local")
    for done, what in ((there, "the folder of the spec"), (runs, "the runs folder")):
        assert (done.exit_code, what in done.output, "UTF-8" in done.output) == (2, True, True), done.output


def test_files_whose_names_are_no_text(tmp_path: Path) -> None:
    (odd(tmp_path) / os.fsdecode(b"f\xff.jsonl")).write_text("{}\n")
    written = call("init", odd_file := tmp_path / os.fsdecode(b"s\xff.yaml"))
    assert (written.exit_code, odd_file.exists()) == (0, True), written.output
    odd_file.write_text(f"{{name: demo, pipeline: {{entry: 'a:b'}}, storage: {{runs: '{tmp_path}/runs'}}}}")
    for verb in ("validate", "validate --json", "render", "plan"):
        done = call(verb.split()[0], odd_file, "--cluster", "local", *verb.split()[1:])
        assert done.exit_code in (0, 2), done.output
    more = f"input: {{paths: '{tmp_path}/*/*.jsonl'}}\nshards: {{count: 1}}\n"
    planned = plan_of(tmp_path, f"storage: {{runs: {tmp_path}/runs}}\n{more}")
    assert planned.exit_code in (0, 2), planned.output


def plan_of(folder: Path, more: str) -> Result:
    spec = folder / "spec.yaml"
    spec.write_text(f"name: demo\npipeline: {{command: 'true'}}\n{more}")
    return call("plan", spec, "--cluster", "local")
