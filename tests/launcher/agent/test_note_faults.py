"""Which nodes a job's head holds against them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator_slurm.launcher.agent.note_faults import MOST, faults_of, note_faults
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.node_faults import faults_folder, read_faults
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths

NODES = ("n1", "n2", "n3")


def failed(failure: str = "environment", message: str = "no module") -> dict[str, Any]:
    return {"state": "failed", "failure_class": failure, "message": message}


def names(*arguments: Any) -> dict[str, str]:
    return {node: failure.value for node, failure, _ in faults_of(NODES, *arguments)}


def test_nodes_that_failed_or_were_lost_count() -> None:
    joined = {"n1": {"state": "joined"}, "n2": failed("port_conflict")}
    assert names(joined, {"n3": "left the Ray cluster"}) == {"n2": "port_conflict", "n3": "node_failed"}
    assert list(faults_of(NODES, {"n2": failed(message="no module")}, {"n2": "did not join"})) == [
        ("n2", FailureClass.ENVIRONMENT, "no module")
    ]


def test_what_is_not_the_nodes_fault_does_not() -> None:
    assert names({"n1": {"state": "left"}, "n2": failed("out_of_memory"), "n3": failed("cancelled")}, {}) == {}
    assert names({}, {"n2": "lost"}, {"n2"}) == {}  # the kernel killed processes of the run
    assert names({}, {"10.0.0.9": "lost"}) == {}  # an address whose name nobody knows
    assert names(dict.fromkeys(NODES, failed()), {}) == {}  # all of them: so it is the run's
    assert set(names({"n1": failed(), "n2": failed(), "n3": failed("storage")}, {})) == {"n1", "n2", "n3"}
    assert [node for node, _, _ in faults_of(["n1"], {"n1": failed()}, {})] == ["n1"]  # nobody to compare with


def test_they_are_noted_beside_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "alpha")
    run = RunPaths(tmp_path / "demo" / "r1")
    run.root.mkdir(parents=True)
    cluster = ClusterPaths(run.element("4711", 1), run)
    note_faults(cluster, list(faults_of(NODES, {}, {"n2": "left the Ray cluster"})))
    [fault] = read_faults([faults_folder(run)])
    assert (fault.node, fault.run_id, fault.element, fault.cluster) == ("n2", "r1", "4711.1", "alpha")
    note_faults(cluster, [(f"m{number}", FailureClass.NODE_FAILED, "lost") for number in range(MOST + 1)])
    assert len(read_faults([faults_folder(run)])) == 1
