"""The pipeline of a driver that is killed: it fans out, filters, batches, writes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd

from curator_slurm.executors import DocumentBatch, Pipeline, ProcessingStage, Resources
from curator_slurm.executors.stages import JsonlReader, JsonlWriter

_RESOURCES = Resources(cpus=0.25)


class Split(ProcessingStage[Any, Any]):
    """One task for each row; notes which sources come by."""

    name = "split"
    resources = _RESOURCES

    def __init__(self, seen: Path) -> None:
        self.seen = seen

    def process(self, task: DocumentBatch) -> list[DocumentBatch]:
        with self.seen.open("a") as stream:
            stream.write(f"{task._source_id}\n")
        frame = task.to_pandas()
        return [
            DocumentBatch(task.dataset_name, frame.iloc[row : row + 1], _metadata=task._metadata)
            for row in range(len(frame))
        ]


class Keep(ProcessingStage[Any, Any]):
    """Drops every third row, in batches; its worker dies once, in the midst of it."""

    name = "keep"
    resources = _RESOURCES
    batch_size = 4

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def process(self, task: Any) -> Any:
        raise NotImplementedError

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        time.sleep(0.05)
        numbers = [int(task.to_pandas()["number"].iloc[0]) for task in tasks]
        if any(number % 10 == 7 for number in numbers):
            try:
                self.marker.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return [None if number % 3 == 0 else task for number, task in zip(numbers, tasks, strict=True)]


class Double(ProcessingStage[Any, Any]):
    """Adds a column."""

    name = "double"
    resources = _RESOURCES

    def process(self, task: DocumentBatch) -> DocumentBatch:
        frame = task.to_pandas().assign(double=lambda rows: rows["number"] * 2)
        return DocumentBatch(task.dataset_name, pd.DataFrame(frame), _metadata=task._metadata)


def pipeline(source: str, out: str, seen: str, died: str) -> Pipeline:
    """`seen` is a file for the sources that come by, `died` one that is there as soon as a worker has died."""
    reader = JsonlReader(source, files_per_partition=1).with_(
        {"file_partitioning": {"resources": _RESOURCES}, "jsonl_reader": {"resources": _RESOURCES}}
    )
    stages = [reader, Split(Path(seen)), Keep(Path(died)), Double()]
    return Pipeline("killed", stages=[*stages, JsonlWriter(out, mode="overwrite").with_(resources=_RESOURCES)])
