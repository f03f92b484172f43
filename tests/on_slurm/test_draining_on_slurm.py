"""One run that Slurm ends twice, by a preemption with a grace and near its time limit: it drains, and loses nothing."""

from __future__ import annotations

import json

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.noted_runs import Noted
from on_slurm.runs import SMALL, WAIT_S, Runs

FILES = 160


def drained(noted: Noted, run_id: str, cause: str, files: int) -> None:
    """The attempt has ended in peace, what it has begun is finished, and nothing else was begun."""
    runs = noted.runs
    done = runs.watch(run_id)
    assert done.returncode == 6, done.output
    status = runs.status(run_id)
    assert (status["state"], status["failure_class"]) == ("failed", cause), status
    lines = [json.loads(line) for line in (runs.element() / "events.jsonl").read_text().splitlines()]
    told, over = (next(line for line in lines if line["event"] == event) for event in ("draining", "drained"))
    assert told["reason"] == over["reason"] == cause
    assert over["time"] < told["until"]
    assert (over["sources_finished"], over["sources_left"]) == (len(noted.begun()) - files, FILES - len(noted.begun()))
    assert over["sources_left"] > 0, "everything had begun before the drain did"


def test_a_run_that_slurm_ends_twice_does_nothing_twice(runs: Runs, slurm_cluster: SlurmCluster) -> None:
    noted = Noted(runs, FILES)
    resources = {**SMALL, "nodes": 2, "time": 10, "partition": "preempt"}
    spec = noted.spec("ray_actor_pool", restart={"mechanism": "off"}, resources=resources)
    run_id = str(runs.submit(spec)["run_id"])
    slurm_cluster.run(["scontrol", "update", "PartitionName=preempt", "GraceTime=90"], user=None, check=True)
    try:
        wait_for("some files", lambda: len(noted.begun()) >= 4, WAIT_S)
        wanted = ["-N3", "--exclusive", "-t", "5", "-o", "/dev/null", "--wrap", "true"]
        slurm_cluster.run(["sbatch", "-p", "main", *wanted], cwd=runs.folder, check=True)
        drained(noted, run_id, "preempted", 0)
    finally:
        slurm_cluster.run(["scontrol", "update", "PartitionName=preempt", "GraceTime=0"], user=None, check=True)
    first = len(noted.begun())
    runs.job_is_over()

    assert runs.command("retry", run_id).returncode == 0
    wait_for("some more files", lambda: len(noted.begun()) >= first + 4, WAIT_S)
    job = str(runs.status(run_id)["job_id"])
    slurm_cluster.run(["scontrol", "update", f"JobId={job}", "EndTime=now+60"], check=True)
    drained(noted, run_id, "time_limit", first)
    runs.job_is_over()
    (noted.notes / "quick").touch()

    assert runs.command("retry", run_id).returncode == 0
    done = runs.watch(run_id)
    assert done.returncode == 0, done.output
    assert noted.twice() == 0, "files were read twice"
    assert (noted.lost(runs.latest()), noted.doubled(runs.latest())) == (0, 0)
    noted.assert_counted_once(run_id)
    runs.assert_nothing_left()
