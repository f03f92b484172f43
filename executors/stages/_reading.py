"""What readers have in common: a stage that reads one group of files, and the composite that groups them first."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from curator_slurm.executors.stage import CompositeStage, ProcessingStage
from curator_slurm.executors.stages.partitioning import FilePartitioningStage
from curator_slurm.executors.tasks import DocumentBatch, EmptyTask, FileGroupTask

log = logging.getLogger(__name__)


@dataclass
class BaseFileReader(ProcessingStage[FileGroupTask, DocumentBatch]):
    """Reads a group of files into one batch of documents.

    A group without a single document is filtered, with a warning, unless `allow_empty` is set: most stages expect
    columns, and an empty file has none.
    """

    fields: list[str] | None = None
    read_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    allow_empty: bool = False

    def __post_init__(self) -> None:
        self.read_kwargs = dict(self.read_kwargs or {})

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(self.fields or [])

    @property
    def storage_options(self) -> dict[str, Any]:
        """For fsspec; kept in `read_kwargs`, where pandas has them."""
        return dict(self.read_kwargs.get("storage_options") or {})

    def process(self, task: FileGroupTask) -> DocumentBatch | None:
        frames = [self.read_file(path) for path in task.data]
        filled = [frame for frame in frames if len(frame)] or frames[:1]
        data = filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
        if not len(data) and not self.allow_empty:
            log.warning("no documents in %s", ", ".join(task.data))
            return None
        return DocumentBatch(
            dataset_name=task.dataset_name,
            data=data,
            _metadata=dict(task._metadata),
            _stage_perf=list(task._stage_perf),
        )

    @abstractmethod
    def read_file(self, path: str) -> pd.DataFrame:
        """The documents of one file.

        Raises:
            ValueError: the content is malformed; the message names the file.
        """


@dataclass
class FileReader(CompositeStage[EmptyTask, DocumentBatch]):
    """Groups files, then reads each group into one batch of documents."""

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    fields: list[str] | None = None
    read_kwargs: dict[str, Any] | None = None
    file_extensions: list[str] | None = None
    name: str = "file_reader"

    default_extensions: ClassVar[list[str]] = []

    def __post_init__(self) -> None:
        super().__init__()
        if self.file_extensions is None:
            self.file_extensions = list(self.default_extensions)

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [
            FilePartitioningStage(
                file_paths=self.file_paths,
                files_per_partition=self.files_per_partition,
                blocksize=self.blocksize,
                file_extensions=self.file_extensions,
                storage_options=(self.read_kwargs or {}).get("storage_options"),
            ),
            self.reader(),
        ]

    @abstractmethod
    def reader(self) -> ProcessingStage[Any, Any]:
        """The stage that reads one group."""

    def get_description(self) -> str:
        """One line about what is read."""
        how = f"{self.files_per_partition or 1} files at a time"
        if self.blocksize is not None:
            how = f"about {self.blocksize} at a time"
        return f"{self.name}: {self.file_paths}, {how}"
