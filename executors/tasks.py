"""Tasks: what stages pass to each other. Names, fields and ids are NeMo Curator's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from curator_slurm.executors.video import Video

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")

ROOT_ID = "0"
"""Task id that every other one descends from."""


@dataclass
class Task(Generic[T]):
    """A unit of work with its payload.

    Subclasses may override `num_items` and `validate`; as it is, a task counts the items of its payload where that
    has a length. The executor assigns `task_id`, the path through the pipeline: the parent's id and the
    task's own segment, joined by an underscore, the same on every back end and in every run.
    """

    dataset_name: str
    data: T
    _stage_perf: list[Any] = field(default_factory=list)
    _metadata: dict[str, Any] = field(default_factory=dict)
    task_id: str = field(init=False, default="")
    _source_id: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.validate()

    @property
    def num_items(self) -> int:
        """Length of a payload that is a collection, else 1."""
        if isinstance(self.data, (str, bytes, dict)) or not hasattr(self.data, "__len__"):
            return 1
        return len(self.data)

    def validate(self) -> bool:
        """Whether the payload is valid; called when the task is created."""
        return True

    def add_stage_perf(self, perf_stats: Any) -> None:
        """Append the performance record of a stage's call."""
        self._stage_perf.append(perf_stats)

    def get_deterministic_id(self) -> str | None:
        """An id derived from the content, for tasks that a source stage emits; None: the position is taken."""
        return None

    def get_source_id(self) -> str:
        """The last segment of the id: at a source stage, the identity of the source partition."""
        return self.task_id.rsplit("_", 1)[-1]

    def _set_task_id(self, parent_task_id: str, current_task_id_suffix: str | int) -> None:
        self.task_id = join_id(parent_task_id, current_task_id_suffix)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(task_id={self.task_id}, dataset_name={self.dataset_name})"


def join_id(parent: str, segment: str | int) -> str:
    """The id of a task from its parent's id and its own segment."""
    return f"{parent}_{segment}" if parent else str(segment)


def source_of(task: Any) -> str:
    """What a task descends from: the partition that a source stage made, else the initial task."""
    own = str(getattr(task, "_source_id", "") or "")
    return own or "_".join(str(getattr(task, "task_id", "")).split("_")[:2])


def files_of(task: Any) -> list[str]:
    """The files that the rows of a task were read from, as far as it says so."""
    return [str(file) for file in getattr(task, "_metadata", {}).get("source_files") or []]


def only_file(task: Any) -> str | None:
    """The one file that all of a task comes from, where it says so."""
    files = files_of(task)
    return files[0] if len(files) == 1 else None


def content_id(parts: Iterable[str]) -> str:
    """Twelve hexadecimal digits that depend on the texts and their order alone."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()[:12]


@dataclass
class SentinelTask(Task[None]):
    """A marker without payload."""

    data: None = None

    def __post_init__(self) -> None:
        if self.data is not None:
            raise TypeError(f"{type(self).__name__} carries no data")

    @property
    def num_items(self) -> int:
        return 0


@dataclass
class EmptyTask(SentinelTask):
    """What the first stage gets where a pipeline has no initial tasks."""

    dataset_name: str = "empty"
    task_id: str = field(init=False, default=ROOT_ID)


@dataclass
class NoneTask(SentinelTask):
    """A slot that was filtered on purpose; returning None means the same."""

    dataset_name: str = "none"


@dataclass
class FailedTask(SentinelTask):
    """A slot whose task failed: counted as failed, and not passed on."""

    dataset_name: str = "failed"


@dataclass
class FileGroupTask(Task[list[str]]):
    """Files that one reader call takes together."""

    dataset_name: str
    data: list[str] = field(default_factory=list)
    reader_config: dict[str, Any] = field(default_factory=dict)

    def validate(self) -> bool:
        if not isinstance(self.data, list):
            raise TypeError(f"a FileGroupTask holds a list of paths, not {type(self.data).__name__}")
        return bool(self.data)

    def get_deterministic_id(self) -> str:
        """Computed from the paths in any order, so that added or removed files do not change the ids of others.

        The digest is NeMo Curator's, so that a partition has the same id there and here.
        """
        joined = "|".join(sorted(self.data)) + "|"
        return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()[:12]


@dataclass
class DocumentBatch(Task["pa.Table | pd.DataFrame"]):
    """Documents as rows of an Arrow table or a pandas frame; without `data`, an empty table."""

    data: pa.Table | pd.DataFrame = field(default_factory=lambda: _empty_table())

    @property
    def num_items(self) -> int:
        return len(self.data)

    def to_pandas(self) -> pd.DataFrame:
        """The documents as a frame; the payload itself where it is one."""
        import pandas as pd

        if isinstance(self.data, pd.DataFrame):
            return self.data
        return self.data.to_pandas()

    def to_pyarrow(self) -> pa.Table:
        """The documents as a table; the payload itself where it is one."""
        import pyarrow as pa

        if isinstance(self.data, pa.Table):
            return self.data
        return pa.Table.from_pandas(self.data, preserve_index=False)

    def get_columns(self) -> list[str]:
        """Names of the columns, in order."""
        names = getattr(self.data, "column_names", None)
        return list(names if names is not None else self.data.columns)


class ManifestEntry(dict[str, Any]):
    """A line of an audio manifest; its keys are attributes too."""

    def __getattr__(self, key: str) -> Any:
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value


@dataclass
class AudioTask(Task[dict[str, Any]]):
    """One entry of an audio manifest: `audio_filepath` and whatever else its line says.

    `filepath_key` names the key whose file must exist for the task to be valid.
    """

    dataset_name: str = ""
    data: dict[str, Any] = field(default_factory=ManifestEntry)
    filepath_key: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data, ManifestEntry):
            self.data = ManifestEntry(self.data)
        super().__post_init__()

    @property
    def num_items(self) -> int:
        return 1

    def validate(self) -> bool:
        path = self.data.get(self.filepath_key) if self.filepath_key else None
        return path is None or os.path.exists(path)  # noqa: PTH110


@dataclass
class VideoTask(Task[Video]):
    """A video, or a part of its clips."""

    @property
    def num_items(self) -> int:
        return 1


def _empty_table() -> pa.Table:
    import pyarrow as pa

    return pa.table({})


def is_none_marker(task: Any) -> bool:
    """Whether a stage's output means that its input was filtered; NeMo Curator's own markers count."""
    return task is None or _is_marker(task, "NoneTask")


def is_failed_marker(task: Any) -> bool:
    """Whether a stage's output means that its input failed."""
    return _is_marker(task, "FailedTask")


def _is_marker(task: Any, name: str) -> bool:
    names = {cls.__name__ for cls in type(task).__mro__}
    return name in names and "SentinelTask" in names


def assign_root_task_ids(tasks: Iterable[Any]) -> None:
    """Give initial tasks of a user the ids `0_0`, `0_1`...; an EmptyTask keeps the root's own."""
    for index, task in enumerate(tasks):
        if not _is_marker(task, "EmptyTask"):
            task.task_id = join_id(ROOT_ID, index)
