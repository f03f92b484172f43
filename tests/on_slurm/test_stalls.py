"""Shared storage stalls, or Slurm suspends the job: the run goes on. `make stalls` does it for 100 s and more cases."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import SlurmCluster
from slurm_cluster.disk import Disk, mounted_disk
from slurm_cluster.waiting import wait_for

from on_slurm.runs import SMALL, WAIT_S, Runs, program

STALL_S = 100
ENDED_S = 120
WORK = """
@ray.remote(num_cpus=1, scheduling_strategy="SPREAD")
def where(_):
    time.sleep(0.2)
    return ray.util.get_node_ip_address()

def nodes():
    return set(ray.get([where.remote(number) for number in range(6)]))

nodes()
open({working!r}, "w").close()
while not os.path.exists({go_on!r}):
    nodes()
seen = set()
while len(seen) < 3:
    seen |= nodes()
print("alive", sum(node["Alive"] for node in ray.nodes()), "working", len(seen))
"""
WAIT_FOR_FILE = "while [ ! -e {go_on} ]; do sleep 0.2; done"


@pytest.fixture
def disk(slurm_cluster: SlurmCluster, shared_dir: Path, tmp_path: Path) -> Iterator[Disk]:
    """Storage for runs that can be frozen."""
    folder = shared_dir / "disk"
    folder.mkdir()
    with mounted_disk(slurm_cluster, folder, tmp_path / "disk.img") as disk:
        os.chown(folder, slurm_cluster.uid(), slurm_cluster.uid())
        yield disk
        slurm_cluster.heal()


@pytest.fixture
def runs(slurm_cluster: SlurmCluster, shared_dir: Path, disk: Disk) -> Runs:
    """Runs on the storage that can be frozen; specs and signals to programs are beside it."""
    found = Runs(slurm_cluster, shared_dir)
    found.runs_dir = disk.folder / "runs"
    return found


def working(runs: Runs, **cluster: Any) -> dict[str, Any]:
    """A spec of a program that works on all nodes until it is told to end."""
    files = {"go_on": str(runs.folder / "go-on"), "working": str(runs.folder / "working")}
    return program(WORK.format(**files), cluster=cluster)


def submit(runs: Runs, spec: dict[str, Any], event: str = "driver_started") -> tuple[str, str]:
    """The id of a run that has come so far, and that of its job; a driver that has started, to its first results."""
    submitted = runs.submit(spec)
    wait_for("the first event", lambda: event in runs.events(), WAIT_S)
    if event == "driver_started" and spec["name"] == "program":
        wait_for("the first tasks", (runs.folder / "working").exists, WAIT_S)
    return str(submitted["run_id"]), str(submitted["job_id"])


def assert_goes_on(runs: Runs, run_id: str) -> None:
    """It lives, works on all nodes, and completes."""
    (runs.folder / "go-on").touch()
    done = runs.watch(run_id)
    logs = runs.read("elements/*/nodes/*/agent.log") + runs.read("elements/*/events.jsonl")
    assert done.returncode == 0, done.output + logs
    assert "node_lost" not in runs.events(), logs
    assert runs.status(run_id)["state"] == "completed"


def beat(runs: Runs) -> int:
    return int(json.loads(runs.read("elements/*/heartbeat").partition("\n#end\n")[0])["beat"])


def assert_head_lost(runs: Runs, run_id: str) -> None:
    status = runs.status(run_id)
    assert (status["state"], status["failure_class"]) == ("failed", "node_failed"), status
    assert "n1" in status["message"]
    assert "no heartbeat" in status["message"]


def test_storage_stalls_while_ray_is_well(runs: Runs, disk: Disk) -> None:
    """A head whose Ray did not answer would be lost after 4 s."""
    run_id, _ = submit(runs, working(runs, heartbeat_timeout_s=10))
    with disk.frozen():
        time.sleep(7)
    before = beat(runs)
    wait_for("the heartbeat", lambda: beat(runs) > before + 1)
    assert_goes_on(runs, run_id)
    assert "alive 3 working 3" in runs.read("attempts/*/*/driver.log")


@pytest.mark.stalls
class TestLongStalls:
    """With the settings that everybody has."""

    def test_storage_is_frozen(self, runs: Runs, disk: Disk) -> None:
        run_id, _ = submit(runs, working(runs))
        with disk.frozen():
            time.sleep(STALL_S)
        assert_goes_on(runs, run_id)
        assert "alive 3 working 3" in runs.read("attempts/*/*/driver.log")

    def test_storage_is_frozen_while_the_nodes_join(self, runs: Runs, disk: Disk) -> None:
        run_id, _ = submit(runs, working(runs, join_timeout_s=60), "agent_started")
        with disk.frozen():
            time.sleep(STALL_S)
        assert_goes_on(runs, run_id)
        assert "alive 3 working 3" in runs.read("attempts/*/*/driver.log")

    def test_storage_is_frozen_without_ray(self, runs: Runs, disk: Disk) -> None:
        spec = {
            "name": "without-ray",
            "pipeline": {"command": WAIT_FOR_FILE.format(go_on=runs.folder / "go-on")},
            "resources": SMALL,
            "cluster": {"ray": False},
        }
        run_id, _ = submit(runs, spec)
        with disk.frozen():
            time.sleep(STALL_S)
        time.sleep(10)
        assert_goes_on(runs, run_id)

    def test_the_job_is_suspended(self, runs: Runs, slurm_cluster: SlurmCluster) -> None:
        run_id, job = submit(runs, working(runs))
        slurm_cluster.run(["scontrol", "suspend", job], user=None, check=True)
        slurm_cluster.wait_for_job(job, state="SUSPENDED")
        time.sleep(STALL_S)
        slurm_cluster.run(["scontrol", "resume", job], user=None, check=True)
        time.sleep(45)  # Ray's health checks have had their time
        assert_goes_on(runs, run_id)
        assert "alive 3 working 3" in runs.read("attempts/*/*/driver.log")

    @pytest.mark.parametrize("storage", ["works", "is frozen"])
    def test_the_head_is_gone(self, runs: Runs, disk: Disk, slurm_cluster: SlurmCluster, storage: str) -> None:
        run_id, job = submit(runs, working(runs, min_nodes=2))
        began = time.monotonic()
        slurm_cluster.kill_node("n1")
        if storage == "is frozen":
            with disk.frozen():
                time.sleep(STALL_S)
        slurm_cluster.wait_for_job(job)
        seconds = time.monotonic() - began
        print(f"\nthe head is gone, storage {storage}: ended after {seconds:.0f} s")
        assert seconds < ENDED_S
        assert_head_lost(runs, run_id)
