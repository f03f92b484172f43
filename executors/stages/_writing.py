"""What writers have in common: the output folder, file names made of task ids, files that are whole or absent."""

from __future__ import annotations

import hashlib
import uuid
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages._files import whole_file
from curator_slurm.executors.tasks import DocumentBatch, FileGroupTask

MODES = ("ignore", "overwrite", "append", "error")
_LONGEST_NAME = 120


@dataclass
class BaseWriter(ProcessingStage[DocumentBatch, FileGroupTask]):
    """Writes each task to one file of the folder `path`, named by the task's id: written again, it is the same file.

    `mode` says what becomes of a folder that is there already, at the moment the stage is made: `ignore` keeps it,
    `overwrite` empties it, `error` refuses it.
    """

    path: str
    file_extension: str = ""
    write_kwargs: dict[str, Any] = field(default_factory=dict)
    fields: list[str] | None = None
    name: str = "writer"
    mode: Literal["ignore", "overwrite", "append", "error"] = "ignore"

    def __post_init__(self) -> None:
        self.path = str(self.path)
        self.write_kwargs = dict(self.write_kwargs or {})
        self.file_extension = self.file_extension.lstrip(".")
        fs, folder = self._place()
        mode = str(self.mode).strip().lower()
        if mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; it is one of {', '.join(MODES)}")
        if mode == "append":
            raise NotImplementedError("mode append is not available: files are named by task ids; use ignore")
        if mode == "error" and fs.exists(folder):
            raise FileExistsError(f"{self.path} exists already, and mode is error")
        if mode == "overwrite" and fs.exists(folder):
            fs.rm(folder, recursive=True)
        fs.makedirs(folder, exist_ok=True)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def process(self, task: DocumentBatch) -> FileGroupTask:
        fs, folder = self._place()
        target = f"{folder.rstrip('/')}/{file_stem(task)}.{self.file_extension}"
        fs.makedirs(folder, exist_ok=True)
        with whole_file(fs, target) as local:
            self.write_file(task, local)
        local_address = isinstance(fs, LocalFileSystem) and "://" not in self.path
        return FileGroupTask(
            dataset_name=task.dataset_name,
            data=[target if local_address else fs.unstrip_protocol(target)],
            _metadata={**task._metadata, "format": self.file_extension},
            _stage_perf=list(task._stage_perf),
        )

    @abstractmethod
    def write_file(self, task: DocumentBatch, path: str) -> None:
        """Write the documents to a local path."""

    def _place(self) -> tuple[Any, str]:
        fs, folder = url_to_fs(self.path, **(self.write_kwargs.get("storage_options") or {}))
        return fs, str(folder)


def file_stem(task: Any) -> str:
    """The name of a task's file without its extension: the id, cut and made unique by a digest where it is long."""
    stem = str(getattr(task, "task_id", "") or "")
    if not stem:  # a stage that is called by hand; executors always give ids
        return uuid.uuid4().hex
    safe = "".join(char if char.isalnum() or char in "_-." else "-" for char in stem)
    if safe == stem and len(stem) <= _LONGEST_NAME:
        return stem
    return f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}"
