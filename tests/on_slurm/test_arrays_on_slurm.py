"""Sharded runs as job arrays: several arrays, elements of several nodes and shards, and everything that can die."""

from __future__ import annotations

import json

from slurm_cluster import SlurmCluster
from slurm_cluster.waiting import wait_for

from on_slurm.chaos import CPUS as CPUS
from on_slurm.chaos import NODES as NODES
from on_slurm.chaos import specs, survive, without_disorder
from on_slurm.copying import assert_once, copying, make_input, on_ray, undisturbed
from on_slurm.runs import WAIT_S, Runs

MAX_ARRAY_SIZE = 11


def test_elements_of_two_nodes_process_two_shards_each_on_one_ray_cluster(array_runs: Runs) -> None:
    make_input(array_runs.folder, 6)
    spec = on_ray(copying("ray", "*.jsonl", {"count": 3, "per_element": 2, "max_running": 1}, nodes=2))
    wanted = undisturbed(array_runs, spec)
    done = array_runs.run(spec)
    assert done.returncode == 0, done.output
    run = array_runs.latest()
    assert_once(run, wanted)
    assert len(wanted) == 3
    elements = sorted(path.name for path in run.glob("elements/*.0"))
    assert len(elements) == 2, elements
    for element in elements:
        events = [json.loads(line) for line in (run / "elements" / element / "events.jsonl").read_text().splitlines()]
        assert sum(event["event"] == "ray_head_started" for event in events) == 1
        assert sum(event["event"] == "node_joined" for event in events) == 1
    attempts = sorted(run.glob("attempts/*/*.*"))
    assert [path.parent.name for path in attempts] == ["00000", "00001", "00002"]
    for attempt in attempts:
        assert (attempt / "element").resolve().name == attempt.name
        assert (attempt / "driver.log").stat().st_size
        assert json.loads((attempt / "progress.json").read_text())["state"] == "completed"
    array_runs.assert_nothing_left()
    assert not (run / "secrets").exists()


def test_more_elements_than_an_array_and_the_queue_may_have(array_runs: Runs) -> None:
    """Two arrays fill the queue; the collect job submits the rest, from a compute node, and the next one collects."""
    make_input(array_runs.folder, 20)
    spec = copying("arrays", "*.jsonl", {"files_per_shard": 1, "max_running": 8})
    wanted = undisturbed(array_runs, spec)
    site = array_runs.write({"limits": {"submitted_jobs": 13, "poll_s": 5}}, "site.yaml")
    environment = {"CURATOR_SLURM_SITE": str(site)}
    done = array_runs.run({**spec, "output": {"collect": "auto"}}, env=environment)
    assert done.returncode == 0, done.output
    assert "12 of 20 elements are submitted; the job that collects submits more" in done.output
    run = array_runs.latest()
    assert_once(run, wanted)
    assert len(wanted) == 20
    arrays = [path.read_text().splitlines() for path in sorted(run.glob("submissions/*/elements.jsonl"))]
    assert [len(array) for array in arrays] == [10, 2, 8]
    assert all(len(array) <= MAX_ARRAY_SIZE for array in arrays)
    assert len(list(run.glob("elements/*.0"))) == 20
    logs = lambda: array_runs.read("collect-*.log")  # noqa: E731
    wait_for("the next collect job", lambda: "Published 20 of 20 shards" in logs(), WAIT_S)
    assert "Submitted 8 shards for which there was no room in the queue before, 0 are left" in logs()
    array_runs.assert_nothing_left()


def test_rows_are_there_once_whatever_dies(array_cluster: SlurmCluster, array_runs: Runs) -> None:
    kinds = specs(shards=8, rayed=1, pause=0.02)
    wanted = without_disorder(array_cluster, kinds)
    print(survive(array_cluster, array_runs, kinds, wanted, seed=1, seconds=25))
