"""What the kernel denies to ordinary users is said in words. Where root runs the suite, somebody else runs these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
