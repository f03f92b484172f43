"""Stages that are bound to groups of nodes, beside a head that takes no tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import ray
from engines import engines
from ray_nodes import RayNodes
from ray_runs import MARKS, runner
from xenna_stages import Step

from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.executors import Resources

pytestmark = MARKS


class Where(Step):
    """Notes on which node each task was."""

    def __init__(self, name: str, group: str | None = None, gpus: float = 0.0) -> None:
        super().__init__(name)
        self.resources = Resources(cpus=0.5, gpus=gpus, group=group)

    def process(self, task: Any) -> Any:
        task._metadata[self.name] = ray.get_runtime_context().get_node_id()
        return task


@pytest.fixture(scope="module")
def groups(nodes_beside_a_head: RayNodes) -> Iterator[RayNodes]:
    """A head, a node of the group `cpu`, and one of the group `gpu`."""
    nodes_beside_a_head.add(cpus=3, group="cpu")
    nodes_beside_a_head.add(cpus=3, gpus=1, group="gpu")
    yield nodes_beside_a_head
    nodes_beside_a_head.end()


@engines("ray_actor_pool")  # the suite has Xenna on Slurm
def test_stages_run_on_the_nodes_of_their_group(
    backend: str, groups: RayNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}
    list_nodes = ray.nodes

    def note() -> list[dict[str, Any]]:
        found = list_nodes()
        seen.update({node["NodeID"]: node["Labels"].get(GROUP_LABEL, "head") for node in found})
        return found

    monkeypatch.setattr(ray, "nodes", note)
    stages = [Where("first", "cpu"), Where("model", gpus=1.0), Where("tail", "gpu"), Where("last")]
    run = runner(backend, groups.head, monkeypatch)
    done = run(stages, ignore_head_node=True)
    assert len(done) == 20
    where = {stage.name: {seen[task._metadata[stage.name]] for task in done} for stage in stages}
    assert where["first"] == {"cpu"}
    assert where["model"] == where["tail"] == {"gpu"}
    assert "head" not in where["last"]
