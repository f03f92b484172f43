"""What is said in the place of a head agent that was killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curator_slurm.launcher.agent.allocation import Allocation
from curator_slurm.launcher.agent.beacon import Beacon, BeaconReader
from curator_slurm.launcher.node_agent import say_that_head_is_gone
from curator_slurm.launcher.paths import ClusterPaths, RunPaths

ALLOCATION = Allocation(job_id="7", restart=0, node_id=0, nodes=("n1", "n2"), cpus=1, memory=1, gpus=0)


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterPaths:
    root = tmp_path / "elements" / "7_0.0"
    root.mkdir(parents=True)
    return ClusterPaths(root, RunPaths(tmp_path))


def test_workers_are_told_at_once_and_users_why(cluster: ClusterPaths) -> None:
    beacon = Beacon(cluster.heartbeat)
    beacon.send(cluster={"address": "10.0.0.1:20000"})
    reader = BeaconReader(cluster.heartbeat)
    assert not reader.read().ended
    say_that_head_is_gone(cluster, ALLOCATION)
    assert reader.read().ended
    assert reader.signal.cluster == {"address": "10.0.0.1:20000"}
    assert reader.signal.beat > beacon.signal.beat
    outcome = json.loads(cluster.outcome.read_text())
    assert (outcome["state"], outcome["failure_class"]) == ("failed", "node_failed")
    assert "n1 was killed" in outcome["message"]


def test_an_outcome_that_is_there_stays(cluster: ClusterPaths) -> None:
    cluster.outcome.write_text('{"state": "completed"}')
    say_that_head_is_gone(cluster, ALLOCATION)
    assert json.loads(cluster.outcome.read_text()) == {"state": "completed"}
    assert not cluster.heartbeat.exists()
