"""Tasks: what travels between stages.

The names, fields and id scheme are NeMo Curator's, so that a stage cannot tell whose task it holds.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from curator_slurm.executors.perf import StagePerfStats

logger = logging.getLogger(__name__)

T = TypeVar("T")

ROOT_TASK_ID = "0"


def content_hash(parts: Iterable[str]) -> str:
    """Twelve hex digits that depend on the set of strings, not on their order.

    The same digest as NeMo Curator's, so that partitions keep their ids when a pipeline moves between the two.
    """
    joined = "|".join(sorted(parts))
    return hashlib.sha256(f"{joined}|".encode()).hexdigest()[:12]


@dataclass
class Task(Generic[T]):
    """One unit of work: a payload and what is known about its way through the pipeline.

    Usable as it is, and as a base class whose subclasses define ``num_items`` and ``validate``.
    ``task_id`` is written by the executor at every stage: the parent's id, an underscore, the own segment.
    An id with a leading ``r`` says that the parent is not known (a batch of N that became K others).
    """

    dataset_name: str
    data: T
    _stage_perf: list[StagePerfStats] = field(default_factory=list)
    _metadata: dict[str, Any] = field(default_factory=dict)
    task_id: str = field(init=False, default="")
    _source_id: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.validate()

    @property
    def num_items(self) -> int:
        """How many items the payload holds: the length of a collection, 1 for any other value, 0 for ``None``."""
        if self.data is None:
            return 0
        if isinstance(self.data, (str, bytes, dict)) or not hasattr(self.data, "__len__"):
            return 1
        return len(self.data)

    def validate(self) -> bool:
        """Whether the payload is usable; called when the task is made. Subclasses say more."""
        return True

    def add_stage_perf(self, perf_stats: StagePerfStats) -> None:
        """Append the record of the stage that has just run."""
        self._stage_perf.append(perf_stats)

    def _set_task_id(self, parent_task_id: str, current_task_id_suffix: str | int) -> None:
        """Derive this task's id from its parent's. Executors call it; stages must not."""
        segment = str(current_task_id_suffix)
        self.task_id = f"{parent_task_id}_{segment}" if parent_task_id else segment

    def get_source_id(self) -> str:
        """The last segment of the id: at the source stage, the identity of the partition."""
        return self.task_id.rpartition("_")[2]

    def get_deterministic_id(self) -> str | None:
        """An id made of the content, used as the segment at the source stage; ``None`` means the position."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(task_id={self.task_id}, dataset_name={self.dataset_name})"


@dataclass
class SentinelTask(Task[None]):
    """A task without payload that says something to the executor."""

    data: None = None

    @property
    def num_items(self) -> int:
        return 0


@dataclass
class EmptyTask(SentinelTask):
    """The root of a run without initial tasks; every id descends from its ``0``."""

    dataset_name: str = "empty"
    task_id: str = field(init=False, default=ROOT_TASK_ID)


@dataclass
class NoneTask(SentinelTask):
    """Returned by a stage in place of a task: dropped on purpose. Plain ``None`` means the same."""

    dataset_name: str = "none"


@dataclass
class FailedTask(SentinelTask):
    """Returned by a stage in place of a task: it failed, and a resumed run must try it again."""

    dataset_name: str = "failed"


@dataclass
class FileGroupTask(Task[list[str]]):
    """Files that one reader call reads together."""

    reader_config: dict[str, Any] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)

    @property
    def num_items(self) -> int:
        return len(self.data)

    def validate(self) -> bool:
        if not isinstance(self.data, list):
            raise TypeError(f"a FileGroupTask holds a list of paths, not {type(self.data).__name__}")
        if not self.data:
            logger.warning("file group %s is empty", self.task_id or "(new)")
        return bool(self.data)

    def get_deterministic_id(self) -> str:
        """Depends on the paths only: files that come or go leave the ids of the other groups alone."""
        return content_hash(self.data)


def _empty_table() -> pa.Table:
    import pyarrow as pa

    return pa.table({})


@dataclass
class DocumentBatch(Task["pa.Table | pd.DataFrame"]):
    """Documents as one Arrow table or pandas frame; a row is a document."""

    data: pa.Table | pd.DataFrame = field(default_factory=_empty_table)

    @property
    def num_items(self) -> int:
        return len(self.data)

    def to_pyarrow(self) -> pa.Table:
        """The documents as an Arrow table; no copy if they are one already."""
        import pyarrow as pa

        if isinstance(self.data, pa.Table):
            return self.data
        self._require_frame()
        return pa.Table.from_pandas(self.data, preserve_index=False)

    def to_pandas(self) -> pd.DataFrame:
        """The documents as a pandas frame; no copy if they are one already."""
        import pyarrow as pa

        if isinstance(self.data, pa.Table):
            return self.data.to_pandas()
        self._require_frame()
        return self.data

    def get_columns(self) -> list[str]:
        """Column names, in order."""
        import pyarrow as pa

        if isinstance(self.data, pa.Table):
            return list(self.data.column_names)
        self._require_frame()
        return [str(column) for column in self.data.columns]

    def _require_frame(self) -> None:
        import pandas as pd

        if not isinstance(self.data, pd.DataFrame):
            raise TypeError(f"a DocumentBatch holds an Arrow table or a pandas frame, not {type(self.data).__name__}")


def assign_root_ids(tasks: list[Any]) -> list[Any]:
    """Give initial tasks the ids ``0_0``, ``0_1``, ...; an ``EmptyTask`` is the root itself and keeps ``0``."""
    for position, task in enumerate(tasks):
        if not has_kind(task, "EmptyTask"):
            task._set_task_id(ROOT_TASK_ID, position)
    return tasks


def has_kind(obj: object, *names: str) -> bool:
    """Whether one of the object's classes has one of these names: recognises NeMo Curator's classes without importing it."""
    return any(cls.__name__ in names for cls in type(obj).__mro__)


def is_task(obj: object) -> bool:
    """Whether the object can travel through a pipeline."""
    return hasattr(obj, "_set_task_id") and hasattr(obj, "_stage_perf")
