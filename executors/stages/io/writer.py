"""What all writers share: one file for each task, named by the task's id, complete or absent."""

from __future__ import annotations

import hashlib
import os
import re
from abc import abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.in_words import several
from curator_slurm.executors.remarks import described
from curator_slurm.executors.resumed_run import is_resumed
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.columns import column_names, select
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.option_checks import check_options
from curator_slurm.executors.tasks import DocumentBatch, FileGroupTask

_OF = ".of-"
MODES = ("ignore", "overwrite", "append", "error")
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")


@dataclass
class BaseWriter(ProcessingStage[DocumentBatch, FileGroupTask]):
    """Writes each batch to a file of its own and hands on a FileGroupTask with its path and the batch's metadata.

    The file appears under its name, `<task id>.<extension>`, when it is complete and on disk; a task that runs again
    puts the same file in its place. A batch without rows leaves no file (and removes the one of an earlier run), and
    its FileGroupTask is empty: the columns of an empty file would have no types.

    `mode` decides about files in `path` when the stage is created: `ignore` keeps them, but replaces files of the same
    names; `overwrite` removes the whole folder; `error` refuses an existing one; `append` is refused unless a subclass
    sets `append_mode_implemented`.
    """

    path: str
    file_extension: str
    write_kwargs: dict[str, Any] = field(default_factory=dict)
    fields: list[str] | None = None
    name: str = "writer"
    mode: str = "ignore"
    append_mode_implemented: bool = False

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError(f"{type(self).__name__}: path must not be empty")
        self.path = storage.absolute(os.fspath(self.path))
        self.file_extension = self.file_extension.lstrip(".")
        if not re.fullmatch(r"[\w.-]+", self.file_extension):
            raise ValueError(f"{type(self).__name__}: {self.file_extension!r} is not a file extension")
        known = ("storage_options", *self.known_write_kwargs())
        self.write_kwargs = check_options(type(self).__name__, "write_kwargs", self.write_kwargs, known)
        if isinstance(self.fields, str):
            self.fields = [self.fields]
        check_output_mode(self.mode, self.path, self.storage_options, self.append_mode_implemented)

    @property
    def storage_options(self) -> dict[str, Any]:
        """What fsspec needs to open addresses."""
        return dict(self.write_kwargs.get("storage_options") or {})

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(self.fields or [])

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def get_file_extension(self) -> str:
        """What file names end with."""
        return self.file_extension

    def process(self, task: DocumentBatch) -> FileGroupTask:
        """Write the batch.

        Raises:
            ValueError: a field is missing, a value cannot be written, or the task has no id.
        """
        files = self.write_task(task)
        return FileGroupTask(
            dataset_name=task.dataset_name,
            data=files,
            _metadata={**task._metadata, "format": self.get_file_extension()},
            _stage_perf=task._stage_perf,
        )

    def write_task(self, task: DocumentBatch) -> list[str]:
        """Write the batch; the files written."""
        path = storage.join(self.path, f"{file_stem(task.task_id)}{origin_mark(task)}.{self.get_file_extension()}")
        if task.num_items == 0:
            storage.remove(path, self.storage_options)
            return []
        data = select(task.data, self.fields) if self.fields is not None else task.data
        try:
            if not column_names(data):
                rows = several(task.num_items, "row")
                raise ValueError(f"it has {rows} and no column, so that a file would hold none of them")
            data = self.ready_rows(data)
            if len(data) == 0:
                storage.remove(path, self.storage_options)
                return []
            storage.write_atomically(path, lambda sink: self.write_rows(data, sink), self.storage_options)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.name}: {described(task)}: {error}") from error
        return [path]

    def ready_rows(self, data: Any) -> Any:
        """The payload as it will be written, without rows that cannot be (see `remarks.leave_out`)."""
        return data

    def remove_leftovers(self, sources: Collection[str]) -> None:
        """Remove the files that an interrupted run wrote of these source partitions under names that may not recur."""
        stems = {file_stem(source) for source in sources}
        ending = f".{self.get_file_extension()}"
        for name in storage.names(self.path, self.storage_options):
            _, mark, source = name.removesuffix(ending).rpartition(_OF)
            if mark and name.endswith(ending) and source in stems:
                storage.remove(storage.join(self.path, name), self.storage_options)

    @abstractmethod
    def known_write_kwargs(self) -> Iterable[str]:
        """The options in `write_kwargs` besides `storage_options`."""

    @abstractmethod
    def write_rows(self, data: Any, sink: IO[bytes]) -> None:
        """Write the payload, which has rows, to an open file."""


def origin_mark(task: Any) -> str:
    """The part of a file's name that identifies the source partition, where the task id does not.

    An id that begins with r depends on which tasks were combined in a batch, which may differ when a run is resumed.
    """
    source = str(getattr(task, "_source_id", "") or "")
    return f"{_OF}{file_stem(source)}" if source and task.task_id.startswith("r") else ""


def file_stem(task_id: str) -> str:
    """A file name from a task's id: the id itself, or a digest of it where it is too long or has special characters.

    Raises:
        ValueError: there is no id.
    """
    if not task_id:
        raise ValueError("the task has no task_id, which names its file; executors assign it")
    if _SAFE_ID.fullmatch(task_id):
        return task_id
    return "t" + hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def check_output_mode(
    mode: str, path: str, storage_options: dict[str, Any] | None = None, append_mode_implemented: bool = False
) -> None:
    """Apply `mode` to an existing folder; in a restarted run, which has written there before, that stays as it is.

    Raises:
        ValueError: there is no such mode, or `overwrite` would remove a folder such as the home directory.
        FileExistsError: the mode is `error`, and the folder exists.
        NotImplementedError: the mode is `append`, and the writer cannot append.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be {', '.join(MODES[:-1])} or {MODES[-1]}, not {mode!r}")
    if mode == "append" and not append_mode_implemented:
        raise NotImplementedError("mode='append' is not supported; mode='ignore' keeps files with other names")
    if mode in ("ignore", "append") or is_resumed() or not storage.exists(path, storage_options):
        return
    if mode == "error":
        raise FileExistsError(f"{path} already exists, and mode is 'error'")
    if not is_remote(path) and (len(Path(path).parts) < 3 or Path(path) == Path.home()):
        raise ValueError(f"mode='overwrite' would remove {path} and everything in it; choose a dedicated folder")
    store, inner = storage.filesystem(path, storage_options)
    store.rm(inner, recursive=True)
