"""What a run on Ray Data keeps of its own: in the cluster, and in the driver after its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from engines import engines
from ray._private.state import actors
from ray_nodes import RayNodes, start_nodes
from ray_runs import MARKS, runner
from xenna_stages import Step

from curator_slurm.executors.backends.ray_data.placement import Placement
from curator_slurm.executors.backends.ray_data.run import DataRun
from curator_slurm.executors.ray_connection import ray_session
from curator_slurm.executors.task_failures import FailurePolicy

pytestmark = MARKS


@pytest.fixture(scope="module")
def head_without_cpus() -> Iterator[RayNodes]:
    """And a node that has two."""
    with start_nodes(1, head_cpus=0) as nodes:
        yield nodes


def test_the_ledger_is_where_the_driver_is(head_without_cpus: RayNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the loss of any other node ends the run."""
    for name, value in head_without_cpus.env.items():
        monkeypatch.setenv(name, value)
    with ray_session(stages=[]):
        runs = [DataRun(Placement([], ignore_head_node=False), FailurePolicy()) for _ in range(8)]
        assert [run.updates().reports for run in runs] == [[]] * 8
        here = ray.get_runtime_context().get_node_id()
        ledgers = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    assert [actor["Address"]["NodeID"] for actor in ledgers] == [here] * 8


class NotesNodes(Step):
    """Writes down the nodes that it is set up on."""

    def __init__(self, name: str, journal: Path) -> None:
        super().__init__(name, 1, cpus=1.0)
        self.journal = journal

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        with self.journal.open("a") as file:
            file.write(f"{node_info.node_id}\n")


@engines("ray_data")
def test_nodes_without_room_for_a_stage_are_not_set_up_and_no_thread_is_left(
    backend: str, head_without_cpus: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray ends a process of which a thread asks it something while it disconnects."""
    run = runner(backend, head_without_cpus.head, monkeypatch)
    before = set(threading.enumerate())
    assert len(run([NotesNodes("notes", tmp_path / "journal")], 6)) == 6
    assert len((tmp_path / "journal").read_text().split()) == 1
    if backend == "ray_data":
        assert [thread.name for thread in threading.enumerate() if thread not in before] == []
