"""What all readers share: a stage that turns groups of files into documents, and the composite stage around it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.stage import CompositeStage, ProcessingStage
from curator_slurm.executors.stages.io.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.option_checks import check_options
from curator_slurm.executors.tasks import DocumentBatch, EmptyTask, FileGroupTask

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class BaseReader(ProcessingStage[FileGroupTask, DocumentBatch]):
    """Reads the files of a group into one batch of documents, in the order of files and rows.

    A group without a single document gives no batch: the task counts as filtered, and the run goes on. `fields`
    are the columns to read, in that order; one that a group lacks altogether is an error, or a column of nulls with
    `missing_fields: "null"` in `read_kwargs`.
    """

    READ_KWARGS: ClassVar[tuple[str, ...]] = ()

    fields: list[str] | None = None
    read_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "reader"

    def __post_init__(self) -> None:
        self.read_kwargs = read_options(type(self).__name__, self.read_kwargs, self.READ_KWARGS)
        if isinstance(self.fields, str):
            self.fields = [self.fields]

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(self.fields or [])

    def process(self, task: FileGroupTask) -> DocumentBatch | None:
        data = self.read_data(task.data, self.read_kwargs, self.fields)
        if data is None or len(data) == 0:
            return None
        return DocumentBatch(dataset_name=task.dataset_name, data=data, _metadata=dict(task._metadata))

    @abstractmethod
    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """The documents of the files; None where there are none."""

    @property
    def storage_options(self) -> dict[str, Any]:
        """What fsspec needs to open addresses."""
        return dict(self.read_kwargs.get("storage_options") or {})


@dataclass
class CompositeReader(CompositeStage[EmptyTask, DocumentBatch]):
    """Finds and groups files, and reads the groups: two stages under one name."""

    STAGE: ClassVar[type[BaseReader]]
    DEFAULT_EXTENSIONS: ClassVar[tuple[str, ...]] = ()

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    fields: list[str] | None = None
    read_kwargs: dict[str, Any] | None = None
    task_type: str = "document"
    file_extensions: list[str] | None = None
    name: str = "reader"

    def __post_init__(self) -> None:
        super().__init__()
        if self.task_type != "document":
            raise NotImplementedError(f"task_type must be 'document'; {self.task_type!r} is not available")
        if self.file_extensions is None:
            self.file_extensions = list(self.DEFAULT_EXTENSIONS)
        self.decompose()  # so that wrong arguments are told where they are given

    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        return [
            FilePartitioningStage(
                file_paths=self.file_paths,
                files_per_partition=self.files_per_partition,
                blocksize=self.blocksize,
                file_extensions=self.file_extensions,
                storage_options=dict((self.read_kwargs or {}).get("storage_options") or {}),
            ),
            self.STAGE(fields=self.fields, read_kwargs=dict(self.read_kwargs or {}), name=self.name),
        ]

    def get_description(self) -> str:
        grouping = f", {self.files_per_partition} files at a time" if self.files_per_partition else ""
        grouping = grouping or (f", {self.blocksize} at a time" if self.blocksize else "")
        return f"{type(self).__name__}: documents of {self.file_paths}{grouping}"


def read_options(owner: str, given: dict[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """Checked `read_kwargs`.

    Raises:
        ValueError: an option is unknown, or its value makes no sense.
    """
    options = check_options(owner, "read_kwargs", given, ("storage_options", "missing_fields", *known))
    if options.get("missing_fields", "error") not in ("error", "null"):
        raise ValueError(f"{owner}: missing_fields must be 'error' or 'null', not {options['missing_fields']!r}")
    return options
