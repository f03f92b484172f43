"""Several writers in one stage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.io.writer import BaseWriter
from curator_slurm.executors.tasks import DocumentBatch, FileGroupTask


@dataclass
class MultiWriter(ProcessingStage[DocumentBatch, FileGroupTask]):
    """Gives every batch to all of its writers, and hands on one FileGroupTask with the files of all.

    A writer passes on files, not documents, so this is how to write documents in two formats.
    """

    writers: Sequence[BaseWriter]
    name: str = "multi_writer"

    def __post_init__(self) -> None:
        if not self.writers:
            raise ValueError("MultiWriter needs at least one writer")
        places = [(writer.path, writer.get_file_extension()) for writer in self.writers]
        if len(set(places)) < len(places):
            raise ValueError("two writers would write the same files: give them different paths or extensions")

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], sorted({name for writer in self.writers for name in writer.inputs()[1]})

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def remove_leftovers(self, sources: Collection[str]) -> None:
        """As each writer does."""
        for writer in self.writers:
            writer.remove_leftovers(sources)

    def process(self, task: DocumentBatch) -> FileGroupTask:
        """Write the batch with every writer."""
        return FileGroupTask(
            dataset_name=task.dataset_name,
            data=[path for writer in self.writers for path in writer.write_task(task)],
            _metadata={**task._metadata, "format": [writer.get_file_extension() for writer in self.writers]},
            _stage_perf=task._stage_perf,
        )
