"""The worked example of sharded runs, as its page says, on the real Slurm."""

from __future__ import annotations

from array_example import check_dataset, copy_of_example
from slurm_cluster.waiting import wait_for

from on_slurm.runs import WAIT_S, Runs

SHARDS = 6


def test_the_example_on_slurm(runs: Runs) -> None:
    documents = copy_of_example(runs.folder)
    # A collect job and a user who collect at the same time: both succeed, and it is done once.
    fewer = ("--set", f"shards.count={SHARDS}")  # two elements of the four: each has a Ray, and a driver for each shard
    submitted = runs.command("submit", "spec.yaml", "--json", "--set", "output.collect=auto", *fewer)
    assert submitted.returncode == 0, submitted.output
    assert submitted.json["shards"] == SHARDS
    collected = runs.command("collect", "array", "--wait", timeout=WAIT_S * 2)
    assert collected.returncode == 0, collected.output + runs.command("status", "array").output
    assert f"Published {SHARDS} of {SHARDS} shards" in collected.stdout
    check_dataset(runs.folder / "out", documents, shards=SHARDS)
    assert runs.watch("array").returncode == 0  # until the elements have ended, too
    status = runs.status("array")
    assert (status["state"], status["shards"]["done"]) == ("completed", SHARDS)
    assert len(status["submissions"]) == 1
    assert len(list((runs.latest() / "elements").glob("*_*.0"))) == 2
    runs.job_is_over()
    [collect_job] = status["collect_jobs"]
    # Accounting hears of the end later than the queue does.
    wait_for("the collect job", lambda: runs.cluster.job_states(collect_job) == ["COMPLETED"], WAIT_S, "collect-*.log")
    check_dataset(runs.folder / "out", documents, shards=SHARDS)
    runs.assert_nothing_left()
