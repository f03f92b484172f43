"""One run that Slurm ends twice, by a preemption with a grace and near its time limit: it drains, and loses nothing."""

from __future__ import annotations

import json
from typing import Any

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.runs import SMALL, WAIT_S, Runs

FILES = 160
PIPELINE = '''\
"""Reads one file after the other, and notes each; slowly, until there is a file `quick`."""

import os
import time

from curator_slurm.executors import Pipeline, ProcessingStage
from curator_slurm.executors.stages import FilePartitioningStage, JsonlReaderStage, JsonlWriter


class Slowly(ProcessingStage):
    name = "slowly"

    def __init__(self, begun):
        self.begun = begun

    def process(self, task):
        (name,) = task.data
        with open(os.path.join(self.begun, os.path.basename(name)), "a") as note:
            note.write("x")
        time.sleep(0.0 if os.path.exists(os.path.join(self.begun, "quick")) else 0.4)
        return task


def build(files, output, begun):
    partitions = FilePartitioningStage(files, files_per_partition=1)
    return Pipeline("slow", stages=[partitions, Slowly(begun), JsonlReaderStage(), JsonlWriter(output)])
'''


def make_spec(runs: Runs) -> dict[str, Any]:
    for folder in ("in", "begun"):
        (runs.folder / folder).mkdir()
        (runs.folder / folder).chmod(0o777)
    for number in range(FILES):
        (runs.folder / "in" / f"{number:03}.jsonl").write_text(json.dumps({"number": number}) + "\n")
    (runs.folder / "slow.py").write_text(PIPELINE)
    return {
        "name": "slow",
        "pipeline": {
            "entry": "slow:build",
            "args": {"files": "${input.files}", "output": "${output_dir}", "begun": str(runs.folder / "begun")},
        },
        "input": {"paths": ["in/*.jsonl"]},
        "executor": {"backend": "ray_actor_pool"},
        "restart": {"mechanism": "off"},
        "resources": {**SMALL, "nodes": 2, "time": 10, "partition": "preempt"},
    }


def begun(runs: Runs) -> dict[str, int]:
    """How often each file was read."""
    return {path.name: path.stat().st_size for path in (runs.folder / "begun").glob("*.jsonl")}


def drained(runs: Runs, run_id: str, cause: str, files: int) -> None:
    """The attempt has ended in peace, what it has begun is finished, and nothing else was begun."""
    done = runs.watch(run_id)
    assert done.returncode == 6, done.output
    status = runs.status(run_id)
    assert (status["state"], status["failure_class"]) == ("failed", cause), status
    lines = [json.loads(line) for line in (runs.element() / "events.jsonl").read_text().splitlines()]
    told, over = (next(line for line in lines if line["event"] == event) for event in ("draining", "drained"))
    assert told["reason"] == over["reason"] == cause
    assert over["time"] < told["until"]
    assert (over["sources_finished"], over["sources_left"]) == (len(begun(runs)) - files, FILES - len(begun(runs)))
    assert over["sources_left"] > 0, "everything had begun before the drain did"


def test_a_run_that_slurm_ends_twice_does_nothing_twice(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    run_id = str(runs.submit(make_spec(runs))["run_id"])
    slurm_cluster.run(["scontrol", "update", "PartitionName=preempt", "GraceTime=90"], user=None, check=True)
    try:
        wait_for("some files", lambda: len(begun(runs)) >= 4, WAIT_S)
        wanted = ["-N3", "--exclusive", "-t", "5", "-o", "/dev/null", "--wrap", "true"]
        slurm_cluster.run(["sbatch", "-p", "main", *wanted], cwd=runs.folder, check=True)
        drained(runs, run_id, "preempted", 0)
    finally:
        slurm_cluster.run(["scontrol", "update", "PartitionName=preempt", "GraceTime=0"], user=None, check=True)
    first = len(begun(runs))
    runs.job_is_over()

    assert runs.command("retry", run_id).returncode == 0
    wait_for("some more files", lambda: len(begun(runs)) >= first + 4, WAIT_S)
    job = str(runs.status(run_id)["job_id"])
    slurm_cluster.run(["scontrol", "update", f"JobId={job}", "EndTime=now+60"], check=True)
    drained(runs, run_id, "time_limit", first)
    runs.job_is_over()
    (runs.folder / "begun" / "quick").touch()

    assert runs.command("retry", run_id).returncode == 0
    done = runs.watch(run_id)
    assert done.returncode == 0, done.output
    assert set(begun(runs).values()) == {1}, "files were read twice"
    texts = [path.read_text() for path in (runs.latest() / "outputs").glob("*.jsonl")]
    rows = [json.loads(line) for text in texts for line in text.splitlines()]
    assert sorted(row["number"] for row in rows) == list(range(FILES))
    runs.assert_nothing_left()
