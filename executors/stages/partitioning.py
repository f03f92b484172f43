"""FilePartitioningStage: which files one reader call takes together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages._files import list_files, parse_size
from curator_slurm.executors.tasks import EmptyTask, FileGroupTask

log = logging.getLogger(__name__)

DEFAULT_EXTENSIONS = [".jsonl", ".json", ".parquet"]


@dataclass
class FilePartitioningStage(ProcessingStage[EmptyTask, FileGroupTask]):
    """Lists files and groups them: `files_per_partition` of them, or about `blocksize` bytes, else one by one.

    `limit` ends after so many groups.
    """

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    file_extensions: list[str] | None = None
    storage_options: dict[str, Any] | None = None
    limit: int | None = None
    name: str = "file_partitioning"

    def __post_init__(self) -> None:
        if self.files_per_partition is not None and self.blocksize is not None:
            raise ValueError("files_per_partition and blocksize are two ways to say the same; give one of them")
        if self.files_per_partition is not None and self.files_per_partition < 1:
            raise ValueError(f"files_per_partition is {self.files_per_partition}; it must be 1 or more")
        if self.blocksize is not None and parse_size(self.blocksize) < 1:
            raise ValueError(f"blocksize is {self.blocksize}; it must be 1 byte or more")
        if self.file_extensions is None:
            self.file_extensions = list(DEFAULT_EXTENSIONS)
        self.storage_options = self.storage_options or {}
        self.resources = Resources(cpus=0.5)

    def num_workers(self) -> int | None:
        return 1

    def process(self, task: EmptyTask) -> list[FileGroupTask]:  # noqa: ARG002
        files = list_files(self.file_paths, self.file_extensions, self.storage_options)
        if not files:
            log.warning("no files with %s under %s", ", ".join(self.file_extensions or ["any name"]), self.file_paths)
            return []
        groups = self._groups(files)
        name = _dataset_name(groups[0][0])
        total = len(groups)
        return [
            FileGroupTask(
                dataset_name=name,
                data=group,
                _metadata={"partition_index": index, "total_partitions": total, "source_files": group},
            )
            for index, group in enumerate(groups[: self.limit])
        ]

    def _groups(self, files: list[tuple[str, int]]) -> list[list[str]]:
        if self.blocksize is not None:
            return _by_size(sorted(files, key=lambda file: (file[1], file[0])), parse_size(self.blocksize))
        paths = sorted(path for path, _ in files)
        count = self.files_per_partition or 1
        return [paths[start : start + count] for start in range(0, len(paths), count)]


def _by_size(files: list[tuple[str, int]], limit: int) -> list[list[str]]:
    """Groups of neighbours whose sizes add up to at most `limit`; a file above the limit stands alone."""
    groups: list[list[str]] = []
    room = -1
    for path, size in files:
        if size > limit:
            log.warning("%s has %d bytes, more than the blocksize of %d; split it for even work", path, size, limit)
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(path)
        room -= max(size, 0)
    return groups


def _dataset_name(path: str) -> str:
    """The name of the folder that holds the first file."""
    pure = PurePosixPath(path.partition("://")[2] or path)
    return (pure.parent.name or pure.stem or "dataset").lower()
