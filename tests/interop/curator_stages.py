"""Stages of NeMo Curator's classes for these tests; workers import them from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from nemo_curator.backends.utils import RayStageSpecKeys
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import DocumentBatch, EmptyTask, FailedTask, Task

COUNTER = "curator_slurm_calls"


@ray.remote(num_cpus=0)
class Calls:
    """Counts calls, in a namespace of its own; it must outlive the run."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.events: list[tuple[str, str]] = []

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def event(self, kind: str, node: str) -> None:
        self.events.append((kind, node))

    def all(self) -> tuple[dict[str, int], list[tuple[str, str]]]:
        return self.counts, self.events


def calls() -> Any:
    return ray.get_actor(COUNTER, namespace=COUNTER)


class AddLength(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Adds a column, batch by batch, and counts its calls."""

    def __init__(self, column: str) -> None:
        self.name = "add_length"
        self.column = column
        self.resources = Resources(cpus=0.5)

    def process(self, task: DocumentBatch) -> DocumentBatch:
        raise NotImplementedError

    def process_batch(self, tasks: list[DocumentBatch]) -> list[DocumentBatch]:
        ray.get(calls().count.remote(self.column))
        results = []
        for task in tasks:
            frame = task.to_pandas().copy()
            frame[self.column] = frame["text"].str.len()
            results.append(
                DocumentBatch(
                    dataset_name=task.dataset_name, data=frame, _metadata=task._metadata, _stage_perf=task._stage_perf
                )
            )
        self._log_metrics({"rows": float(sum(len(task.data) for task in tasks))})
        return results

    def ray_stage_spec(self) -> dict[Any, Any]:
        return {RayStageSpecKeys.IS_ACTOR_STAGE: True}


class SplitRows(ProcessingStage[DocumentBatch, DocumentBatch]):
    """One task for each row."""

    name = "split_rows"
    resources = Resources(cpus=0.5)

    def process(self, task: DocumentBatch) -> list[DocumentBatch]:
        frame = task.to_pandas()
        return [
            DocumentBatch(
                dataset_name=task.dataset_name,
                data=frame.iloc[row : row + 1],
                _metadata=task._metadata,
                _stage_perf=list(task._stage_perf),
            )
            for row in range(len(frame))
        ]

    def ray_stage_spec(self) -> dict[Any, Any]:
        return {RayStageSpecKeys.IS_FANOUT_STAGE: True}


class WithSetup(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Notes when and where it is prepared."""

    name = "with_setup"
    resources = Resources(cpus=0.5)

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        ray.get(calls().event.remote("node", node_info.node_id))

    def setup(self, worker_metadata: Any = None) -> None:
        ray.get(calls().event.remote("worker", ray.get_runtime_context().get_node_id()))

    def process(self, task: DocumentBatch) -> DocumentBatch:
        return task


@dataclass
class NumberTask(Task[int]):
    """A number."""

    data: int = 0

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        return True


@dataclass
class Numbers(ProcessingStage[EmptyTask, NumberTask]):
    """The source: numbers from 0."""

    count: int = 0
    name: str = "numbers"

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], []

    def process(self, task: EmptyTask) -> list[NumberTask]:
        return [NumberTask(dataset_name="numbers", data=number) for number in range(self.count)]


@dataclass
class Sink(ProcessingStage[NumberTask, NumberTask]):
    """Fails some numbers by NeMo Curator's marker, and filters some."""

    fail: tuple[int, ...] = ()
    none: tuple[int, ...] = ()
    name: str = "sink"

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], []

    def process(self, task: NumberTask) -> NumberTask | FailedTask | None:
        if task.data in self.fail:
            return FailedTask()
        return None if task.data in self.none else task
