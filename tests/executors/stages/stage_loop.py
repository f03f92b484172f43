"""Runs stages in this process, one task after the other, as every back end does through the adapter."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from curator_slurm.executors import DocumentBatch, EmptyTask, Pipeline
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.stages.columns import frame, values_of


class LoopExecutor:
    """The simplest executor. `order` may shuffle the tasks before each stage."""

    def __init__(self, order: Any = None) -> None:
        self.order = order or (lambda tasks: tasks)

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        tasks = initial_tasks or [EmptyTask()]
        for stage in stages:
            adapter = StageAdapter(stage)
            adapter.setup_on_node()
            adapter.setup()
            tasks = [output for task in self.order(list(tasks)) for output in adapter.process_batch([task])]
            adapter.teardown()
        return tasks


def run(*stages: Any, order: Any = None) -> list[Any]:
    """The tasks that leave the last stage."""
    return Pipeline("test", stages=list(stages)).run(LoopExecutor(order)) or []


def rows(tasks: Iterable[Any]) -> list[dict[str, Any]]:
    """All documents of some batches as dictionaries."""
    found = []
    for task in tasks:
        names = task.get_columns()
        columns = [values_of(task.data, name) for name in names]
        found += [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return found


def batch(columns: Mapping[str, list[Any]] | pd.DataFrame | Any, task_id: str = "0_a_0") -> DocumentBatch:
    """A batch with an id."""
    if isinstance(columns, Mapping):
        columns = frame(columns, len(next(iter(columns.values()), [])))
    made = DocumentBatch(dataset_name="test", data=columns)
    made.task_id = task_id
    return made


def write_jsonl(path: Path, documents: Iterable[Mapping[str, Any]]) -> Path:
    """A JSONL file, made without the code under test."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(json.dumps(document).encode() + b"\n" for document in documents))
    return path
