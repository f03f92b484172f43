"""Exact de-duplication of a whole dataset, with the same result on every executor and in every run.

Which of several equal documents is the first is only known when all have been read, and a streaming pipeline has
written some by then. So there are two passes: the first finds the duplicates and writes a small table of the rows to
drop; the second drops them. Both passes read the same files in the same groups, so that task id and row number mean
the same document in both, and retries and restarts change nothing.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.pipeline import Pipeline
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.columns import values_of
from curator_slurm.executors.stages.deduplication.normalization import Normalization, text_form
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.io.writer import file_stem
from curator_slurm.executors.stages.statistics import drop_rows
from curator_slurm.executors.tasks import DocumentBatch, FileGroupTask

if TYPE_CHECKING:
    import pyarrow as pa

DUPLICATE = "duplicate"
"""The reason under which duplicates are counted as dropped."""

log = logging.getLogger(__name__)


@dataclass
class HashDocuments(ProcessingStage[DocumentBatch, FileGroupTask]):
    """Writes a digest for every document of a batch to a small file in `path`; the documents end here."""

    path: str
    text_field: str = "text"
    name: str = "hash_documents"
    normalize_text: Normalization = False

    def __post_init__(self) -> None:
        self.path = storage.absolute(self.path)
        text_form(self.normalize_text)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def process(self, task: DocumentBatch) -> FileGroupTask:
        import pyarrow as pa
        import pyarrow.parquet as pq

        form = text_form(self.normalize_text)
        hashed = [
            (row, digest(text, form))
            for row, text in enumerate(values_of(task.data, self.text_field))
            if text is not None  # a null equals nothing
        ]
        table = pa.table(
            {
                "digest": pa.array([value for _, value in hashed], pa.binary()),
                "partition": pa.array([task._metadata.get("partition_index", 0)] * len(hashed), pa.int64()),
                "task_id": pa.array([task.task_id] * len(hashed), pa.string()),
                "row": pa.array([row for row, _ in hashed], pa.int64()),
            }
        )
        path = storage.join(self.path, f"{file_stem(task.task_id)}.parquet")
        storage.write_atomically(path, lambda sink: pq.write_table(table, sink))
        return FileGroupTask(task.dataset_name, [path], _metadata=dict(task._metadata))


@dataclass
class DropDuplicates(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Drops the rows that a table of duplicates lists; it must directly follow the reader of the first pass."""

    REASON: ClassVar[str] = DUPLICATE

    duplicates: str
    text_field: str = "text"
    name: str = "drop_duplicates"
    normalize_text: Normalization = False

    def __post_init__(self) -> None:
        text_form(self.normalize_text)

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def process(self, task: DocumentBatch) -> DocumentBatch:
        """The batch without its duplicates.

        Raises:
            ValueError: a row has changed since the first pass.
        """
        expected = self.listed(task.task_id)
        if not expected:
            return task
        form = text_form(self.normalize_text)
        texts = values_of(task.data, self.text_field)
        keep = [True] * len(texts)
        for row, value in expected.items():
            if row >= len(texts) or (None if texts[row] is None else digest(texts[row], form)) != value:
                raise ValueError(f"row {row} of task {task.task_id} has changed since the first pass")
            keep[row] = False
        return drop_rows(task, keep, self.REASON)

    def listed(self, task_id: str) -> dict[int, bytes | None]:
        """The rows of a task that are to be dropped, each with the digest that its text had in the first pass."""
        import pyarrow.parquet as pq

        found = pq.read_table(self.duplicates, columns=["row", "digest"], filters=[("task_id", "=", task_id)])
        return dict(zip(found["row"].to_pylist(), found["digest"].to_pylist(), strict=True))


class ExactDeduplicationPipeline(Pipeline):
    """A pipeline that reads documents, drops all but the first of those with equal text, and continues with `stages`.

    The first is the one in the first group of files, and there in the first row. `work_dir` is a folder on storage
    that all nodes share; `duplicates.parquet` stays there and says for each dropped row which one was kept.

    `normalize_text` says which differences do not count: `case`, `white_space` (line ends included), and those within a
    Unicode form, `NFC` or `NFKC`; true stands for the first two. Documents are kept as they are.
    """

    def __init__(
        self,
        name: str,
        reader: Any,
        stages: Sequence[Any],
        work_dir: str,
        text_field: str = "text",
        description: str | None = None,
        normalize_text: Normalization = False,
    ) -> None:
        self.reader = reader
        self.normalize_text = normalize_text
        self.work_dir = Path(storage.absolute(work_dir))
        self.text_field = text_field
        self.duplicates = self.work_dir / "duplicates.parquet"
        removal = DropDuplicates(str(self.duplicates), text_field, normalize_text=normalize_text)
        super().__init__(name, description, [reader, removal, *stages])

    def run(
        self, executor: Any = None, initial_tasks: list[Any] | None = None, checkpoint_path: str | Path | None = None
    ) -> list[Any] | None:
        """Both passes on the same executor; the tasks of the last stage."""
        digests = self.work_dir / "digests"
        shutil.rmtree(digests, ignore_errors=True)
        hashing = HashDocuments(str(digests), self.text_field, normalize_text=self.normalize_text)
        first = Pipeline(f"{self.name}: find duplicates", stages=[self.reader, hashing])
        tasks = first.run(executor, initial_tasks)
        table = find_duplicates(path for task in tasks or [] for path in task.data)
        write_table(self.duplicates, table)
        shutil.rmtree(digests, ignore_errors=True)
        log.info("%d duplicates", table.num_rows)
        return super().run(executor, initial_tasks, checkpoint_path)


def digest(text: Any, form: Callable[[str], str] = str) -> bytes:
    """Sixteen bytes that texts share which are equal in a form."""
    encoded = form(text).encode("utf-8", "surrogatepass") if isinstance(text, str) else repr(text).encode()
    return hashlib.blake2b(encoded, digest_size=16).digest()


def find_duplicates(files: Iterable[str]) -> pa.Table:
    """The rows to drop, from the files of `HashDocuments`: all but the first of each digest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in files]
    if not tables:
        return _duplicates([], [], [], [], [])
    order = [(name, "ascending") for name in ("digest", "partition", "task_id", "row")]
    seen = pa.concat_tables(tables).sort_by(order)
    columns = [seen.column(name).to_pylist() for name in ("digest", "task_id", "row")]
    found: list[tuple[str, int, bytes, str, int]] = []
    kept = (b"", "", 0)
    for value, task_id, row in zip(*columns, strict=True):
        if value == kept[0]:
            found.append((task_id, row, value, kept[1], kept[2]))
        else:
            kept = (value, task_id, row)
    found.sort()
    return _duplicates(*map(list, zip(*found, strict=True))) if found else _duplicates([], [], [], [], [])


def _duplicates(task_ids: Any, rows: Any, digests: Any, kept_ids: Any, kept_rows: Any) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "task_id": pa.array(task_ids, pa.string()),
            "row": pa.array(rows, pa.int64()),
            "digest": pa.array(digests, pa.binary()),
            "kept_task_id": pa.array(kept_ids, pa.string()),
            "kept_row": pa.array(kept_rows, pa.int64()),
        }
    )


def write_table(path: Path, table: pa.Table) -> None:
    """A Parquet file, whole or not at all, in row groups that a task's rows are found in quickly."""
    import pyarrow.parquet as pq

    storage.write_atomically(str(path), lambda sink: pq.write_table(table, sink, row_group_size=100_000))
