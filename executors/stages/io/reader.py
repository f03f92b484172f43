"""What all readers share: a stage that turns groups of files into documents, and the composite stage around it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.common.in_words import several
from curator_slurm.executors.remarks import note
from curator_slurm.executors.stage import CompositeStage, ProcessingStage
from curator_slurm.executors.stages.columns import column_names, frame, with_column
from curator_slurm.executors.stages.io.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.io.id_generator import CURATOR_DEDUP_ID_STR, get_id_generator_actor
from curator_slurm.executors.stages.option_checks import check_choice, check_options
from curator_slurm.executors.tasks import DocumentBatch, EmptyTask, FileGroupTask

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


@dataclass
class BaseReader(ProcessingStage[FileGroupTask, DocumentBatch]):
    """Reads the files of a group into one batch of documents, in the order of files and rows.

    `fields` are the columns to read, in that order; one that a group lacks altogether is an error, or a column of nulls
    with `missing_fields: "null"` in `read_kwargs`. A group without a single row is an error too, unless `allow_empty`
    is set: then it gives a batch without rows, or no batch where nothing says which columns there are.

    `_generate_ids` adds a column of whole numbers that are unique in the Ray cluster, `_assign_ids` those that the same
    files got before; both need the actor that `create_id_generator_actor()` starts.
    """

    fields: list[str] | None = None
    read_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "reader"
    _generate_ids: bool = False
    _assign_ids: bool = False
    allow_empty: bool = False

    def __post_init__(self) -> None:
        if self._generate_ids and self._assign_ids:
            raise ValueError(f"{type(self).__name__}: set _generate_ids or _assign_ids, not both")
        self.read_kwargs = read_options(type(self).__name__, self.read_kwargs, self.known_read_kwargs())
        if isinstance(self.fields, str):
            self.fields = [self.fields]
        if self.fields is not None and len(set(self.fields)) != max(1, len(self.fields)):
            raise ValueError(
                f"{type(self).__name__}: fields={self.fields!r}: name each column once, and one at least; without "
                "fields, all columns are read"
            )
        self._ids: Any = None

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        ids = [CURATOR_DEDUP_ID_STR] if self._generate_ids or self._assign_ids else []
        return ["data"], [*(self.fields or []), *ids]

    def ray_stage_spec(self) -> dict[str, Any]:
        return {**super().ray_stage_spec(), "is_actor_stage": self._generate_ids or self._assign_ids}

    def setup(self, worker_metadata: Any = None) -> None:  # noqa: ARG002
        """Find the actor that gives out ids, where they are asked for.

        Raises:
            RuntimeError: there is none.
        """
        if not self._generate_ids and not self._assign_ids:
            return
        try:
            self._ids = get_id_generator_actor()
        except ValueError:
            raise RuntimeError(
                f"{self.name}: _generate_ids and _assign_ids need the ID generator: call create_id_generator_actor() "
                "before the pipeline runs"
            ) from None

    def process(self, task: FileGroupTask) -> DocumentBatch | None:
        """The documents of the group.

        Raises:
            ValueError: there are none, or nothing is in any of them, and `allow_empty` is not set.
        """
        data: Any = self.read_data(task.data, dict(self.read_kwargs), self.fields)
        if data is not None and len(data) and not column_names(data):
            what = f"nothing is in any of the {several(len(data), 'row')} of {named(task.data)}"
            if not self.allow_empty:
                raise ValueError(f"{what}; allow_empty=True passes over such files")
            note(f"passed over: {what}")
            return None
        if data is None or len(data) == 0:
            if not self.allow_empty:
                raise ValueError(f"no rows in {named(task.data)}; allow_empty=True accepts files without rows")
            if data is None and self.fields:
                data = frame({name: [] for name in self.fields}, 0)
            if data is None or not column_names(data):
                return None
        if self._generate_ids or self._assign_ids:
            data = self._with_ids(data, task.data)
        return DocumentBatch(dataset_name=task.dataset_name, data=data, _metadata=dict(task._metadata))

    def _with_ids(self, data: Any, files: list[str]) -> Any:
        import ray

        if CURATOR_DEDUP_ID_STR in column_names(data):
            log.warning("%s has a column %s already, which is kept", named(files), CURATOR_DEDUP_ID_STR)
            return data
        if self._generate_ids:
            first = ray.get(self._ids.register_batch.remote(files, len(data)))
        else:
            first, last = ray.get(self._ids.get_batch_range.remote(files, None))
            if last - first + 1 != len(data):
                raise ValueError(
                    f"{named(files)}: {several(len(data), 'row')}, but ids for {last - first + 1} were registered"
                )
        return with_column(data, CURATOR_DEDUP_ID_STR, list(range(first, first + len(data))))

    @abstractmethod
    def known_read_kwargs(self) -> Iterable[str]:
        """The options in `read_kwargs` besides those of all readers."""

    @abstractmethod
    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """The documents of the files, one row each; None where the files have none (see `allow_empty`).

        The columns are those of `fields` where these are given. Every file is opened by `storage`, which knows
        addresses and compression; an error names the file and the place in it.
        """

    @property
    def storage_options(self) -> dict[str, Any]:
        """What fsspec needs to open addresses."""
        return dict(self.read_kwargs.get("storage_options") or {})


class CompositeReader(CompositeStage[EmptyTask, DocumentBatch]):
    """Finds and groups files, and reads the groups: two stages under one name.

    The fields are declared by each reader, in the order that NeMo Curator has there.
    """

    STAGE: ClassVar[type[BaseReader]]

    file_paths: str | list[str]
    files_per_partition: int | None
    blocksize: int | str | None
    fields: list[str] | None
    read_kwargs: dict[str, Any] | None
    task_type: str
    file_extensions: list[str]
    _generate_ids: bool
    _assign_ids: bool
    allow_empty: bool

    def __post_init__(self) -> None:
        super().__init__()
        if self.task_type != "document":
            raise NotImplementedError(f"task_type must be 'document'; {self.task_type!r} is not supported")
        self.decompose()  # so that wrong arguments are reported where they are given

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [
            FilePartitioningStage(
                file_paths=self.file_paths,
                files_per_partition=self.files_per_partition,
                blocksize=self.blocksize,
                file_extensions=self.file_extensions,
                storage_options=dict((self.read_kwargs or {}).get("storage_options") or {}),
                takes_named_files=list(self.file_extensions) == self._own_extensions(),
            ),
            self.STAGE(
                fields=self.fields,
                read_kwargs=dict(self.read_kwargs or {}),
                name=self.name,
                _generate_ids=self._generate_ids,
                _assign_ids=self._assign_ids,
                allow_empty=self.allow_empty,
            ),
        ]

    def _own_extensions(self) -> list[str]:
        """What files of this kind are called, where the user does not say."""
        declared: dict[str, Any] = type(self).__dataclass_fields__  # type: ignore[attr-defined]
        return list(declared["file_extensions"].default_factory())

    def get_description(self) -> str:
        grouping = f", {several(self.files_per_partition, 'file')} at a time" if self.files_per_partition else ""
        grouping = grouping or (f", {self.blocksize} at a time" if self.blocksize else "")
        return f"{type(self).__name__}: documents of {self.file_paths}{grouping}"


def read_options(owner: str, given: dict[str, Any] | None, known: Iterable[str]) -> dict[str, Any]:
    """Checked `read_kwargs`.

    Raises:
        ValueError: an option is unknown, or its value makes no sense.
    """
    options = check_options(owner, "read_kwargs", given, ("storage_options", "missing_fields", *known))
    check_choice(owner, options, "missing_fields", ("error", "null"))
    return options


def with_fields(
    data: pd.DataFrame, fields: list[str] | None, paths: list[str], options: dict[str, Any]
) -> pd.DataFrame:
    """The wanted columns of the rows of these files, nulls for missing ones where `missing_fields` asks for that.

    Raises:
        ValueError: a column is missing.
    """
    if fields is None:
        return data
    missing = [name for name in fields if name not in data.columns]
    if missing and options.get("missing_fields", "error") == "error":
        raise ValueError(missing_message(paths, missing, list(data.columns)))
    for name in missing:
        data = with_column(data, name, [None] * len(data))
    return data[fields]


def missing_message(paths: list[str], missing: list[str], found: list[str]) -> str:
    """What is said of fields that a group of files lacks."""
    return (
        f"no row of {named(paths)} has {', '.join(map(repr, missing))}; the fields are {found} "
        "(read_kwargs={'missing_fields': 'null'} fills missing columns with nulls)"
    )


def named(paths: list[str]) -> str:
    """A group of files in a message."""
    return paths[0] if len(paths) == 1 else f"{several(len(paths), 'file')}, {paths[0]} the first"
