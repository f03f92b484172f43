"""Runs that go on by themselves: whole elements with real agents and drivers, on a Slurm that only runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_slurm import FakeSlurm
from run_dirs import keep_element, own_home, write_spec

from curator_slurm.launcher.cli import main
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import run_directories
from curator_slurm.launcher.runs.submissions import read_submissions

__all__ = ["own_home"]

pytestmark = pytest.mark.usefixtures("own_home", "asked_often")

WAIT_S = 240
COPY = 'cat ${shard.files} >"${output_dir}/part.jsonl"'
ONCE = 'first="$CURATOR_SLURM_RUN_DIR/first-$CURATOR_SLURM_SHARD"; if mkdir "$first"; then sleep 600; fi'
"""The first attempt at a shard goes on until it is ended; the next one does its work."""


@pytest.fixture(autouse=True)
def patient_slurm(fake_slurm: FakeSlurm) -> None:
    """Agents end in peace, however loaded the machine is."""
    keep_element(fake_slurm)
    fake_slurm.configure(kill_wait_s=60)


def spec(folder: Path, command: str, count: int = 1, **more: Any) -> Path:
    """One row in each of so many files, and a job of two shards at most."""
    (folder / "in").mkdir()
    for shard in range(count):
        (folder / f"in/{shard}.jsonl").write_text(json.dumps({"row": shard}) + "\n")
    sections: dict[str, Any] = {
        "pipeline": {"command": command},
        "cluster": {"ray": False},
        "input": {"paths": [str(folder / "in/*.jsonl")]},
        "shards": {"count": count, "per_element": 2, "order": "name"},
    }
    return write_spec(folder, Path(sys.executable), **{**sections, **more})


def single(folder: Path, command: str, **more: Any) -> Path:
    """The same without an array."""
    path = spec(folder, command.replace("${shard.files}", "${input.files}"), **more)
    value = json.loads(path.read_text())
    del value["shards"]
    path.write_text(json.dumps(value))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def submit(path: Path) -> RunPaths:
    result = call("submit", path, "--cluster", "slurm")
    assert result.exit_code == 0, result.output
    (directory,) = run_directories([path.parent / "runs"])
    return RunPaths(directory)


def wait_for(what: str, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def elements(run: RunPaths) -> list[str]:
    return sorted(path.name for path in run.elements.iterdir() if path.is_dir())


def outcome(run: RunPaths, element: str) -> dict[str, Any]:
    wait_for(f"the outcome of {element}", lambda: (run.elements / element / "outcome.json").exists())
    value: dict[str, Any] = read_json(run.elements / element / "outcome.json") or {}
    return value


def rows(run: RunPaths) -> list[int]:
    return sorted(
        json.loads(line)["row"] for path in run.outputs.rglob("part.jsonl") for line in path.read_text().splitlines()
    )


def wait_for_end(run: RunPaths, exit_code: int = 0) -> None:
    result = call("watch", run.run_id, "--interval", 0.2)
    assert result.exit_code == exit_code, result.output


def interrupt(fake: FakeSlurm, run: RunPaths, request: str = "time_limit", shard: int = 0) -> None:
    """Let Slurm end the job when the driver of this shard is at work."""
    wait_for("the driver", lambda: (run.root / f"first-{shard}").exists())
    fake.request(fake.jobs[0].id, request)


@pytest.mark.parametrize("mechanism", ["requeue", "resubmit", "chain"])
def test_a_time_limit_is_gone_over(tmp_path: Path, fake_slurm: FakeSlurm, mechanism: str) -> None:
    run = submit(single(tmp_path, f"{ONCE}; {COPY}", restart={"mechanism": mechanism, "backoff_s": 0}))
    interrupt(fake_slurm, run)
    wait_for_end(run)
    assert rows(run) == [0]
    first, second = elements(run)[:2]
    job = first.partition(".")[0]
    assert first == f"{job}.0"
    assert second == (f"{job}.1" if mechanism == "requeue" else f"{int(job) + 1}.0")
    ended = outcome(run, first)
    assert (ended["state"], ended["failure_class"]) == ("failed", "time_limit")
    assert "it goes on by itself" in ended["message"]
    assert outcome(run, second)["state"] == "completed"
    history = read_json(run.elements / second / "history.json")
    assert history is not None
    assert (history["previous"], history["restarts"], history["without_progress"]) == (first, 1, 1)
    purposes = [each.record.purpose for each in read_submissions(run)]
    assert (
        purposes
        == {"requeue": ["submit"], "resubmit": ["submit", "restart"], "chain": ["submit"] + ["restart"] * 4}[mechanism]
    )
    assert ("requeue" in [line for calls in fake_slurm.calls_of("scontrol") for line in calls]) is (
        mechanism == "requeue"
    )
