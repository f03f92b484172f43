"""The last node that a stage could run on goes away, and the others do not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from engines import engines
from ray_nodes import RayNodes, wait_for_lines
from ray_runs import MARKS, runner, values
from xenna_stages import Step

from curator_slurm.executors.run import placement
from curator_slurm.executors.task_failures import LastNodeLostError

pytestmark = MARKS


class OnGpu(Step):
    """Writes down every task that it begins, and takes its time."""

    def __init__(self, journal: Path, pause_s: float) -> None:
        super().__init__("on-gpu", 1, cpus=0.5, gpus=1.0)
        self.journal = journal
        self.pause_s = pause_s

    def process(self, task: Any) -> Any:
        self.begin(task.data)
        return task

    def begin(self, what: Any) -> None:
        with self.journal.open("a") as file:
            file.write(f"{what}\n")
        time.sleep(self.pause_s)


class PreparesGpu(OnGpu):
    """Is still preparing its first node when that goes away."""

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        is_first = not self.journal.exists()
        self.begin("node")
        if is_first:
            time.sleep(3600)


@pytest.fixture
def nodes(nodes_beside_a_head: RayNodes) -> Iterator[RayNodes]:
    """A head with CPUs only, and a node with a GPU."""
    nodes_beside_a_head.add(gpus=1)
    yield nodes_beside_a_head
    nodes_beside_a_head.end()


@contextlib.contextmanager
def accident(happens: Callable[[], None]) -> Iterator[None]:
    """Beside the run; it has come to its end with the context."""
    thread = Thread(target=happens, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@engines("xenna")
def test_the_run_ends_and_names_the_stage(
    backend: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "NODE_PATIENCE_S", 2.0)
    journal = tmp_path / "journal"

    def cut() -> None:
        wait_for_lines(journal, 2)
        nodes.cut_last()

    named = pytest.raises(LastNodeLostError, match=r"'on-gpu' .* 1 GPU\b.* nodes: 2 CPUs and 0 GPUs")
    with accident(cut), named:
        runner(backend, nodes.head, monkeypatch)([Step("before"), OnGpu(journal, 5.0)], 20)


@engines("ray_actor_pool")
def test_a_node_that_comes_in_its_place_is_used(
    backend: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_replacement(backend, OnGpu, 2, nodes, tmp_path, monkeypatch)


@engines("ray_data", of=["ray_data"])
def test_a_node_that_comes_in_place_of_one_that_was_being_prepared(
    backend: str, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine gives up at once: another round has to wait for the node."""
    check_replacement(backend, PreparesGpu, 1, nodes, tmp_path, monkeypatch)


def check_replacement(
    backend: str, stage: type[OnGpu], lines: int, nodes: RayNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "NODE_PATIENCE_S", 600.0)  # on a busy machine a node takes more than a minute
    journal = tmp_path / "journal"

    def replace() -> None:
        wait_for_lines(journal, lines)
        nodes.cut_last()
        nodes.add(gpus=1)

    with accident(replace):
        outputs = runner(backend, nodes.head, monkeypatch)([Step("before"), stage(journal, 1.0)], 8)
    assert values(outputs) == list(range(8))
