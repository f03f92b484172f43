"""Where entries of audio come from: manifests, a line of JSON for each sound, or the sound files themselves."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import CompositeStage, ProcessingStage
from curator_slurm.executors.stages.io.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.io.storage import join, read_bytes
from curator_slurm.executors.tasks import AudioTask, EmptyTask, FileGroupTask

AUDIO_EXTENSIONS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")
_PROBLEM = "manifest_problem"


@dataclass
class ManifestReaderStage(ProcessingStage[FileGroupTask, AudioTask]):
    """Reads manifests, compressed or not: a task for each line that is not blank.

    A line that cannot be used becomes a task that says so; ManifestEntryStage fails it. A relative path in
    `audio_filepath_key` begins at the manifest's folder.
    """

    name: str = "manifest_reader_stage"
    audio_filepath_key: str = "audio_filepath"

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def process(self, task: FileGroupTask) -> list[AudioTask]:
        """The entries.

        Raises:
            ValueError: a manifest cannot be decompressed, or has no entry at all.
        """
        found = []
        for path in task.data:
            entries = [
                entry_of(line, f"{path}, line {number}", path, self.audio_filepath_key)
                for number, line in enumerate(read_bytes(path).split(b"\n"), start=1)
                if line.strip()
            ]
            if not entries:
                raise ValueError(f"{path} has no entries")
            found += entries
        return [
            AudioTask(task.dataset_name, entry, _metadata=dict(task._metadata), _stage_perf=list(task._stage_perf))
            for entry in found
        ]


@dataclass
class ManifestEntryStage(ProcessingStage[AudioTask, AudioTask]):
    """Fails the entries of lines that cannot be used, each by itself, so that a bad line costs no other."""

    name: str = "manifest_entry"
    resources: Resources = field(default_factory=lambda: Resources(cpus=0.25))

    def process(self, task: AudioTask) -> AudioTask:
        """The entry.

        Raises:
            ValueError: its line cannot be used; names manifest, line and reason.
        """
        if _PROBLEM in task.data:
            raise ValueError(task.data[_PROBLEM])
        return task


@dataclass
class ManifestReader(CompositeStage[EmptyTask, AudioTask]):
    """Reads JSONL manifests: a task for each line, which is an object with `audio_filepath` and whatever else.

    Manifests are grouped as by FilePartitioningStage. A relative path begins at the manifest's folder.
    """

    manifest_path: str | list[str]
    name: str = "manifest_reader"
    files_per_partition: int | None = 1
    blocksize: int | str | None = None
    file_extensions: list[str] = field(default_factory=lambda: [".jsonl", ".json"])
    storage_options: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        super().__init__()
        if not self.manifest_path:
            raise ValueError("ManifestReader: manifest_path must not be empty")

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        by_size = self.blocksize is not None and self.files_per_partition in (None, 1)
        return [
            FilePartitioningStage(
                self.manifest_path,
                files_per_partition=None if by_size else self.files_per_partition,
                blocksize=self.blocksize if by_size else None,
                file_extensions=self.file_extensions,
                storage_options=self.storage_options,
            ),
            ManifestReaderStage(),
            ManifestEntryStage(),
        ]


@dataclass
class AudioFilesStage(ProcessingStage[FileGroupTask, AudioTask]):
    """An entry with nothing but `audio_filepath` for each file of a group."""

    name: str = "audio_files"
    resources: Resources = field(default_factory=lambda: Resources(cpus=0.25))

    def process(self, task: FileGroupTask) -> list[AudioTask]:
        return [
            AudioTask(task.dataset_name, {"audio_filepath": path}, _metadata=dict(task._metadata)) for path in task.data
        ]


@dataclass
class AudioReader(CompositeStage[EmptyTask, AudioTask]):
    """Finds sound files in a folder (with those below), or those listed or matched by a glob: a task for each."""

    input_audio_path: str | list[str]
    audio_limit: int | None = None
    file_extensions: list[str] = field(default_factory=lambda: list(AUDIO_EXTENSIONS))
    name: str = "audio_reader"

    def __post_init__(self) -> None:
        super().__init__()
        if not self.input_audio_path:
            raise ValueError("AudioReader: input_audio_path must not be empty")

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [
            FilePartitioningStage(
                self.input_audio_path,
                files_per_partition=1,
                file_extensions=self.file_extensions,
                limit=self.audio_limit,
            ),
            AudioFilesStage(),
        ]


def entry_of(line: bytes, place: str, manifest: str, key: str) -> dict[str, Any]:
    """The object of a line, with its path as every worker can use it; or what is wrong with the line."""
    try:
        found = json.loads(line)
    except ValueError as error:
        return {_PROBLEM: f"{place}: not JSON: {error}"}
    if not isinstance(found, dict):
        return {_PROBLEM: f"{place}: not an object, but {type(found).__name__}"}
    path = found.get(key)
    if not isinstance(path, str) or not path:
        return {_PROBLEM: f"{place}: no {key!r} with a path, but {path!r}"}
    return {**found, key: _absolute(path, manifest)}


def _absolute(path: str, manifest: str) -> str:
    if is_remote(path) or os.path.isabs(path):  # noqa: PTH117
        return path
    folder = manifest.rpartition("/")[0]
    return join(folder, path) if is_remote(manifest) else os.path.normpath(str(PurePosixPath(folder, path)))
