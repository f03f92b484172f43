"""Input files that changed after the run was planned: refused, then taken as they are, or left out; nothing is lost."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.runs.manifest import read_manifest, read_shard, revise, revised_file, write_manifest
from curator_slurm.launcher.runs.shard_records import Element, Shard

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home")


def call(*arguments: object, expect: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == expect, result.output
    return result


def submitted(folder: Path, fake: FakeSlurm, names: Sequence[str], *, array: bool = True) -> Path:
    """A run that copies its input, whose job has not started yet; its run directory."""
    keep_element(fake)
    (folder / "in").mkdir()
    for name in names:
        (folder / "in" / name).write_text(f"{name}\n")
    files = "${shard.files}" if array else "${input.files}"
    spec = {
        "name": "copy",
        "pipeline": {"command": f'for f in {files}; do cp "$f" "${{output_dir}}/"; done'},
        "input": {"paths": [str(folder / "in")]},
        "output": {"path": str(folder / "out")},
        "cluster": {"ray": False},
        "resources": {"nodes": 1, "time": 10},
        "storage": {"runs": str(folder / "runs")},
        "environment": {"python": sys.executable},
    }
    if array:
        spec["shards"] = {"files_per_shard": 1, "order": "name"}
    (folder / "spec.json").write_text(json.dumps(spec))
    fake.pause()
    call("submit", folder / "spec.json", "--cluster", "slurm", "--no-import")
    (run,) = (folder / "runs" / "copy").iterdir()
    return run


def finish(fake: FakeSlurm) -> None:
    fake.resume()
    for job in fake.jobs:
        fake.wait(job.id)


@pytest.mark.long
def test_a_corrected_input_is_accepted_and_a_lost_file_left_out(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted(tmp_path, fake_slurm, ["a.txt", "b.txt", "c.txt"])
    (tmp_path / "in" / "b.txt").write_text("corrected\n")
    (tmp_path / "in" / "c.txt").unlink()
    finish(fake_slurm)
    status = json.loads(call("status", run, "--json", expect=7).stdout)
    assert status["shards"]["done"] == 1
    assert "--accept-changed-input" in call("status", run, "--shard", 1, expect=7).stdout
    unaccepted = call("retry", run, "--dry-run").stderr
    assert "the job will refuse 2 input files" in unaccepted
    assert "b.txt changed (6 bytes were planned, it has 10)" in unaccepted
    assert "c.txt vanished" in unaccepted
    gone = call("retry", run, "--accept-changed-input", expect=2)
    assert "c.txt vanished" in gone.stderr
    assert "--skip-file" in gone.stderr
    assert "did you mean" in call("retry", run, "--skip-file", tmp_path / "in" / "cc.txt", expect=2).stderr
    assert "is in none of the shards" in call("retry", run, "--skip-file", tmp_path / "in" / "a.txt", expect=2).stderr
    options = ["--accept-changed-input", "--skip-file", os.path.relpath(tmp_path / "in" / "c.txt")]
    accepted = call("retry", run, *options, "--dry-run")
    assert "Would submit 2 shards" in accepted.stdout
    assert "refuse" not in accepted.stderr
    assert not (run / "shards" / "revised").exists()
    done = call("retry", run, *options).stdout
    assert "Input    shard 1: 1 file as they are now" in done
    assert "Input    shard 2: 0 files as they are now, without 1 file" in done
    finish(fake_slurm)
    call("collect", run)
    texts = {path.name: path.read_text() for path in (tmp_path / "out").glob("shard-*/*.txt")}
    assert texts == {"a.txt": "a.txt\n", "b.txt": "corrected\n"}
    assert json.loads((tmp_path / "out" / "_dataset.json").read_text())["complete"]
    compared = call("plan", tmp_path / "spec.json", "--compare", run)
    assert "No input file has changed" in compared.stdout


@pytest.mark.long
def test_so_it_is_of_a_run_without_shards(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted(tmp_path, fake_slurm, ["a.txt", "b.txt"], array=False)
    (tmp_path / "in" / "a.txt").write_text("corrected\n")
    finish(fake_slurm)
    assert "is not what was planned" in call("status", run, expect=6).stdout
    assert (
        "Input    1 file as they are now, without 1 file"
        in call("retry", run, "--accept-changed-input", "--skip-file", tmp_path / "in" / "b.txt").stdout
    )
    finish(fake_slurm)
    call("status", run)
    assert {path.name: path.read_text() for path in (tmp_path / "out").glob("*.txt")} == {"a.txt": "corrected\n"}


def test_nothing_to_accept_is_said(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submitted(tmp_path, fake_slurm, ["a.txt"])
    call("cancel", run)
    finish(fake_slurm)
    assert "has nothing to accept" in call("retry", run, "--accept-changed-input", expect=2).stderr


def test_a_revised_shard_counts_for_every_reader(tmp_path: Path) -> None:
    manifest = tmp_path / "shards" / "manifest.jsonl"
    planned = [Shard(index, (InputFile(f"/in/{index}", 3, 1),)) for index in range(12)]
    write_manifest(manifest, planned)
    other = Shard(7, (), ("/in/7",))
    revise(manifest, other)
    assert read_shard(manifest, 7) == other
    assert read_shard(manifest, 8) == planned[8]
    assert list(read_manifest(manifest)) == [*planned[:7], other, *planned[8:]]
    revised_file(manifest, 7).write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        read_shard(manifest, 7)


def test_lines_of_elements_name_their_revised_shards() -> None:
    element = Element(3, (5, 7), (7,))
    assert Element.from_line(element.to_line()) == element
    assert Element.from_line('{"element": 3, "shards": [5]}') == Element(3, (5,))
