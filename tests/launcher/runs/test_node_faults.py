"""Nodes that fail are counted over jobs and runs of the user, and kept out after the second time."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.node_faults import (
    COUNTS_S,
    MOST_ALIKE,
    MOST_EXCLUDED,
    NodeFault,
    bad_nodes,
    faults_folder,
    have_failed,
    nodes_to_exclude,
    note_fault,
    read_faults,
)
from curator_slurm.launcher.runs.paths import RunPaths

NOW = time.time()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fault(
    node: str, element: str = "1.0", run_id: str = "r1", failure: str = "node_failed", at: float = NOW
) -> NodeFault:
    return NodeFault(
        node=node, time=at, run_id=run_id, element=element, failure_class=failure, message=f"lost in {element}"
    )


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path / "runs" / "demo" / "r1")


def test_a_fault_is_noted_once_for_each_job(run: RunPaths) -> None:
    run.root.parent.mkdir(parents=True)
    for each in (fault("n1"), fault("n1"), fault("n1", "1.1"), fault("n2", "4711_3.0", "r2")):
        note_fault(run, each)
    folder = faults_folder(run)
    assert folder.parent == run.root.parent.parent
    assert names_in(folder) == ["n1@r1@1.0.json", "n1@r1@1.1.json", "n2@r2@4711_3.0.json"]
    assert folder.stat().st_mode & 0o777 == 0o700
    found = read_faults([folder])
    assert {(each.node, each.element) for each in found} == {("n1", "1.0"), ("n1", "1.1"), ("n2", "4711_3.0")}
    assert have_failed(run)
    assert not have_failed(RunPaths(run.root.with_name("r")))
    [first, second] = bad_nodes(found)
    assert (first.node, first.faults, first.runs, first.excluded) == ("n1", 2, 1, True)
    assert (second.node, second.faults, second.excluded) == ("n2", 1, False)
    assert nodes_to_exclude(found) == ["n1"]


def test_what_is_old_or_damaged_does_not_count_and_goes(run: RunPaths) -> None:
    run.root.parent.mkdir(parents=True)
    old = NOW - COUNTS_S - 60
    note_fault(run, fault("n1", at=old))
    note_fault(run, fault("n2"))
    folder = faults_folder(run)
    (folder / "n3@r1@1.0.json").write_text("{")
    (folder / "n4@r1@1.0.json").write_text('{"node": 4}')
    for name in ("n1@r1@1.0.json", "n3@r1@1.0.json"):
        os.utime(folder / name, (old, old))
    assert [each.node for each in read_faults([folder, folder / "no such folder"])] == ["n2"]
    assert names_in(folder) == ["n2@r1@1.0.json", "n4@r1@1.0.json"]


def test_a_folder_of_somebody_else_is_not_believed(run: RunPaths, tmp_path: Path) -> None:
    run.root.parent.mkdir(parents=True)
    note_fault(run, fault("n1"))
    folder = faults_folder(run)
    if os.geteuid() == 0:
        os.chown(folder, 4242, -1)
        assert read_faults([folder]) == []
        note_fault(run, fault("n2"))
        assert names_in(folder) == ["n1@r1@1.0.json"]


def test_what_fails_on_many_nodes_is_not_the_nodes() -> None:
    bad_environment = [
        fault(f"n{node}", f"{start}.0", failure=FailureClass.ENVIRONMENT)
        for node in range(MOST_ALIKE + 1)
        for start in range(2)
    ]
    assert bad_nodes(bad_environment) == []
    assert nodes_to_exclude(bad_environment[: 2 * MOST_ALIKE]) == [f"n{node}" for node in range(MOST_ALIKE)]
    lost = [replace(each, failure_class="node_failed") for each in bad_environment]
    assert len(nodes_to_exclude(lost)) == MOST_ALIKE + 1  # a switch, say: these nodes are gone
    all_lost = [fault(f"n{node}", f"{start}.0") for node in range(MOST_EXCLUDED + 1) for start in range(2)]
    assert nodes_to_exclude(all_lost) == []
