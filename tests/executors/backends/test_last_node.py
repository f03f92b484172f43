"""The last node that a stage could run on goes away, and the others do not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ray_nodes import RayNodes, start_nodes, wait_for_lines
from ray_runs import MARKS, runner, values
from xenna_stages import Step

from curator_slurm.executors.run import placement
from curator_slurm.executors.task_failures import WorkerLostError

pytestmark = MARKS


class OnGpu(Step):
    """Writes down every task that it begins, and takes its time."""

    def __init__(self, journal: Path, pause_s: float) -> None:
        super().__init__("on-gpu", 1, cpus=0.5, gpus=1.0)
        self.journal = journal
        self.pause_s = pause_s

    def process(self, task: Any) -> Any:
        with self.journal.open("a") as file:
            file.write(f"{task.data}\n")
        time.sleep(self.pause_s)
        return task


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayNodes]:
    """A head with CPUs only."""
    with start_nodes(0, head_cpus=2) as nodes:
        yield nodes


@pytest.fixture
def nodes(cluster: RayNodes) -> Iterator[RayNodes]:
    """And a node with a GPU."""
    cluster.add(gpus=1)
    yield cluster
    cluster.end()


@pytest.mark.parametrize("backend", ["xenna", "ray_data", "ray_actor_pool"])
def test_the_run_ends_and_names_the_stage(
    backend: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "NODE_PATIENCE_S", 2.0)
    journal = tmp_path / "journal"

    def cut() -> None:
        wait_for_lines(journal, 2)
        nodes.cut_last()

    accident = Thread(target=cut, daemon=True)
    accident.start()
    with pytest.raises(WorkerLostError, match=r"'on-gpu' has lost the last node .* 1 GPUs, nodes: 2 CPUs and 0 GPUs"):
        runner(backend, nodes.head, monkeypatch)([Step("before", cpus=0.5), OnGpu(journal, 5.0)], 20)
    accident.join()


@pytest.mark.parametrize("backend", ["xenna", "ray_data", "ray_actor_pool"])
def test_a_node_that_comes_in_its_place_is_used(
    backend: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "journal"

    def replace() -> None:
        wait_for_lines(journal, 2)
        nodes.cut_last()
        nodes.add(gpus=1)

    accident = Thread(target=replace, daemon=True)
    accident.start()
    outputs = runner(backend, nodes.head, monkeypatch)([Step("before", cpus=0.5), OnGpu(journal, 1.0)], 8)
    accident.join()
    assert values(outputs) == list(range(8))
