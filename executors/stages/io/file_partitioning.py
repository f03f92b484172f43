"""The first stage of a pipeline over files: finds them and groups them into tasks."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.sizes import parse_size
from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.io.expand_paths import list_files
from curator_slurm.executors.stages.io.storage import absolute
from curator_slurm.executors.tasks import EmptyTask, FileGroupTask

log = logging.getLogger(__name__)

DEFAULT_EXTENSIONS = (".jsonl", ".json", ".parquet")

_RECOMMENDED_BYTES = 512_000_000


@dataclass
class FilePartitioningStage(ProcessingStage[EmptyTask, FileGroupTask]):
    """Finds files and groups them, `files_per_partition` or `blocksize` bytes at a time, else one by one.

    `blocksize` is a number of bytes, or a size such as 512M or 512MB, with units of 1024 as in Slurm.

    `file_paths` is a file, a folder (recursively; names that begin with a dot are skipped), a glob or an fsspec
    address, or a list of them. Local paths are made absolute when the stage is created. Each file is taken once, and
    groups and their order depend on names (and, with `blocksize`, sizes) alone. `limit` is the maximum number of
    groups.

    `file_extensions` match with the suffix of a compression and with other names of a kind too: `.jsonl` takes
    `a.jsonl.gz` and `a.ndjson`. Where none are given, a file that is named itself, or by a glob such as `part-*`, is
    taken whatever its name, and in folders those without an extension that end in a number are taken, too. What is
    left out is said at the end of the run. `takes_named_files` sets this apart from `file_extensions`.

    Raises:
        ValueError: both `files_per_partition` and `blocksize` are given, or one is invalid.
    """

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    file_extensions: list[str] | None = None
    storage_options: dict[str, Any] | None = None
    limit: int | None = None
    name: str = "file_partitioning"
    takes_named_files: bool | None = None

    def __post_init__(self) -> None:
        if self.files_per_partition is not None and self.blocksize is not None:
            raise ValueError("set files_per_partition or blocksize, not both")
        for key in ("files_per_partition", "limit"):
            value = getattr(self, key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{key} must be a whole number, 1 or more, not {value!r}")
        given = [self.file_paths] if isinstance(self.file_paths, (str, os.PathLike)) else list(self.file_paths)
        wrong = [path for path in given if not isinstance(path, (str, os.PathLike))]
        if wrong:
            raise TypeError(f"file_paths must be a path or a list of paths; {wrong[0]!r} is not a path")
        self._paths = [absolute(os.fspath(path)) for path in given]
        self._block_bytes = parse_size(self.blocksize) if self.blocksize is not None else None
        if self._block_bytes is not None and self._block_bytes > _RECOMMENDED_BYTES:
            log.warning("blocksize %s is more than 512 MB: workers may run out of memory", self.blocksize)
        if self.takes_named_files is None:
            self.takes_named_files = self.file_extensions is None
        extensions = self.file_extensions if self.file_extensions is not None else list(DEFAULT_EXTENSIONS)
        self.file_extensions = [extensions] if isinstance(extensions, str) else list(extensions)
        self.resources = Resources(cpus=0.5)

    def num_workers(self) -> int | None:
        return 1

    def process(self, _: EmptyTask) -> list[FileGroupTask]:
        """The groups.

        Raises:
            FileNotFoundError: no files match a path or glob.
            ValueError: there are files, but none with one of the extensions.
        """
        by_size = self._block_bytes is not None
        files = list_files(
            self._paths,
            self.file_extensions or [],
            self.storage_options,
            sizes=by_size,
            takes_named=bool(self.takes_named_files),
        )
        if not files:
            log.warning("no files found in %s", ", ".join(self._paths) or "an empty list of paths")
            return []
        if self._block_bytes is not None:
            groups = group_by_size(files, self._block_bytes)
        else:
            groups = group_by_count([path for path, _ in files], self.files_per_partition or 1)
        log.info("%d files in %d groups", len(files), len(groups))
        dataset = dataset_name(files[0][0])
        return [
            FileGroupTask(
                dataset_name=dataset,
                data=group,
                _metadata={"partition_index": index, "total_partitions": len(groups), "source_files": group},
            )
            for index, group in enumerate(groups[: self.limit])
        ]


def group_by_count(files: Sequence[str], count: int) -> list[list[str]]:
    """Groups of `count` files; the last one may be smaller."""
    return [list(files[start : start + count]) for start in range(0, len(files), count)]


def group_by_size(files: Sequence[tuple[str, int]], block_bytes: int) -> list[list[str]]:
    """Groups of at most `block_bytes`, small files first; a larger file is a group of its own."""
    groups: list[list[str]] = []
    room = 0
    for path, size in sorted(files, key=lambda file: (file[1], file[0])):
        if not groups or size > room:
            groups.append([])
            room = block_bytes
            if size > block_bytes:
                log.warning("%s is larger than blocksize: %d bytes", path, size)
        groups[-1].append(path)
        room -= size
    return groups


def dataset_name(path: str) -> str:
    """A name for the dataset that a file belongs to: its folder's; for an address, the file's."""
    if is_remote(path):
        return path.rstrip("/").rpartition("/")[2].lower()
    file = PurePosixPath(path)
    return (file.parent.name or file.stem).lower()
