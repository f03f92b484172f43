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
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.registry import run_directories
from curator_slurm.launcher.runs.restart_request import ENDS_JOB, GOES_ON, read_request
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


def test_of_an_element_only_what_was_interrupted_goes_on(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    """One shard is done, one failed by its own fault, one is interrupted, and one has not begun."""
    command = f"[[ $CURATOR_SLURM_SHARD != 1 ]] || exit 3; [[ $CURATOR_SLURM_SHARD != 2 ]] || {{ {ONCE}; }}; {COPY}"
    shards = {"count": 4, "per_element": 4, "order": "name"}
    run = submit(spec(tmp_path, command, 4, shards=shards, restart={"mechanism": "auto", "backoff_s": 0}))
    interrupt(fake_slurm, run, shard=2)
    wait_for_end(run, 7)
    job = fake_slurm.jobs[0].id
    request = read_request(ClusterPaths(run.elements / f"{job}_0.0", run))
    assert request is not None
    assert (request.how, list(request.shards)) == ("requeue", [2, 3])
    assert rows(run) == [0, 2, 3]
    names = {shard: sorted(path.name for path in run.attempts.glob(f"{shard:05d}/{job}_0.*")) for shard in range(4)}
    assert names == {0: [f"{job}_0.0"], 1: [f"{job}_0.0"], 2: [f"{job}_0.0", f"{job}_0.1"], 3: [f"{job}_0.1"]}
    assert ["requeue", f"{job}_0"] in fake_slurm.calls_of("scontrol")


@pytest.mark.parametrize("code", [GOES_ON, ENDS_JOB])
def test_a_pipeline_may_exit_with_what_workers_exit_with(tmp_path: Path, fake_slurm: FakeSlurm, code: int) -> None:
    """The head exits with the pipeline's own code, which says nothing about a lost head."""
    run = submit(single(tmp_path, f"exit {code}"))
    wait_for_end(run, 6)
    assert (outcome(run, elements(run)[0])["exit_code"], len(elements(run))) == (code, 1)
    assert fake_slurm.calls_of("scancel") == []


def test_errors_of_the_pipeline_do_not_restart(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submit(single(tmp_path, "exit 3", restart={"mechanism": "auto"}))
    wait_for_end(run, 6)
    (element,) = elements(run)
    assert outcome(run, element)["failure_class"] == "app_failed"
    assert read_request(ClusterPaths(run.elements / element, run)) is None
    assert len(fake_slurm.jobs) == 1


def test_out_of_memory_goes_on_with_more_of_it(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    command = f'if mkdir "$CURATOR_SLURM_RUN_DIR/first"; then echo MemoryError >&2; exit 1; fi; {COPY}'
    restart = {"mechanism": "requeue", "backoff_s": 0, "on_out_of_memory": {"mem_per_node": "x1.5"}}
    run = submit(single(tmp_path, command, restart=restart, resources={"mem_per_node": "1000M"}))
    wait_for_end(run)
    assert rows(run) == [0]
    assert [job.options["mem"] for job in fake_slurm.jobs] == ["1000M", "1500M"]
    again = read_submissions(run)[1].record
    assert dict(again.changes) == {"resources.mem_per_node": "1500M"}
    assert "with 1500M of memory on a node" in outcome(run, elements(run)[0])["message"]


def test_a_requeue_by_an_administrator_counts(tmp_path: Path, fake_slurm: FakeSlurm) -> None:
    run = submit(single(tmp_path, f"{ONCE}; {COPY}", restart={"mechanism": "resubmit"}))
    interrupt(fake_slurm, run, "requeue")
    wait_for("the second start", lambda: run.done(0).exists())
    first, second = elements(run)
    assert (first.partition(".")[2], second.partition(".")[2]) == ("0", "1")
    history = read_json(run.elements / second / "history.json")
    assert history is not None
    assert (history["previous"], history["restarts"]) == (first, 1)
    assert rows(run) == [0]
    assert len(read_submissions(run)) == 1
