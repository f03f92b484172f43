"""What the driver is told of a batch; small, and sent to it where the payload is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from curator_slurm.executors.document_samples import DocumentSample
from curator_slurm.executors.task_failures import FailedTaskRecord

Parent = int | tuple[int, int]


@dataclass(frozen=True)
class BatchReport:
    """The outcome of one batch; small, and sent to the driver where the payload is not."""

    tasks_in: int
    tasks_out: int
    tasks_filtered: int
    items_out: int
    seconds: float
    failures: tuple[FailedTaskRecord, ...] = ()
    node: str = ""
    """Host name of the node that processed it; empty for a task that kills its workers."""
    kind: str = ""
    """Class of the output tasks; empty where there are none. Items of different kinds must not be compared."""
    parents: Sequence[Parent] = ()
    """For each output, where in the batch its input was; (start, stop) where it may be any of several."""
    failed_inputs: Sequence[int] = ()
    """For each failure, where in the batch its task was."""
    items_in: int = 0
    items_failed: int = 0
    sources: tuple[tuple[str, int], ...] = ()
    """Source partitions, and how many tasks that descend from each there are now, more or fewer; in resumable runs."""
    blended: tuple[str, ...] = ()
    """Source partitions whose tasks went into outputs that cannot be attributed to any one of them."""
    rows_left_out: tuple[tuple[int, FailedTaskRecord], ...] = ()
    """Rows that the stage left out, each with where in the batch their task was; the task went on without them."""
    notes: tuple[str, ...] = ()
    """What the stage has to say at the end of the run."""
    source_work: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Source partitions, and what was counted of each: tasks in, out and dropped, items in and out."""
    items_of_inputs: Sequence[int] = ()
    """Of each task; empty where there is one task, or nobody knows. The same of the outputs:"""
    items_of_outputs: Sequence[int] = ()
    bytes_in: int | None = None
    """About how many bytes the tasks took, and those that came of them:"""
    bytes_out: int | None = None
    samples: tuple[DocumentSample, ...] = ()
    """Documents that the stage has kept and dropped, where somebody has asked to see some."""

    @property
    def failed_count(self) -> int:
        """Tasks that failed and rows that were left out."""
        return len(self.failures) + sum(record.rows or 1 for _, record in self.rows_left_out)

    @classmethod
    def of_lost(cls, failures: tuple[FailedTaskRecord, ...], items: int) -> BatchReport:
        """The report of tasks whose workers died every time."""
        positions = range(len(failures))
        return cls(len(failures), 0, 0, 0, 0.0, failures, items_in=items, items_failed=items, failed_inputs=positions)


def shift(parents: Sequence[Parent], start: int) -> list[Parent]:
    """The same parents in a longer list of inputs."""
    return [start + parent if isinstance(parent, int) else (start + parent[0], start + parent[1]) for parent in parents]
