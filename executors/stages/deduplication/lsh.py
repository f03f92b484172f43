"""From bands of signatures to groups of near-duplicates: buckets, edges, spanning forests.

A document is a number here: the index of its signature file in the list of those files, and its row in that file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.deduplication.connected_components import spanning_forest
from curator_slurm.executors.stages.deduplication.minhash import band_column
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.tasks import FileGroupTask, Task

if TYPE_CHECKING:
    from curator_slurm.executors.stages.deduplication.connected_components import Ids

ROW_BITS = 32
"""Rows of a file; the bits above are the file's number."""


@dataclass
class BandTask(Task[tuple[int, int]]):
    """A band, and which part of its buckets."""

    dataset_name: str = "bands"
    data: tuple[int, int] = (0, 0)

    def get_deterministic_id(self) -> str:
        return f"{self.data[0]}.{self.data[1]}"


@dataclass
class MatchBands(ProcessingStage[BandTask, FileGroupTask]):
    """Collects one band of all documents and writes the edges between documents that agree in it.

    `signatures` is the list of the files that HashBands has written. Only one column of each is read, and with
    `buckets_per_band` above 1 only that share of it is in memory: 16 bytes for each document and band, divided by it.
    """

    signatures: str
    path: str
    buckets_per_band: int = 1
    name: str = "match_bands"
    _files: list[str] = field(default_factory=list, init=False, repr=False)

    def setup(self, _: Any = None) -> None:
        import pyarrow.parquet as pq

        self._files = pq.read_table(self.signatures, columns=["path"])["path"].to_pylist()

    def process(self, task: BandTask) -> FileGroupTask:
        import numpy as np

        band, part = task.data
        hashes, ids = [], []
        for number, path in enumerate(self._files):
            found, rows = self._read(path, band)
            if self.buckets_per_band > 1:
                here = found % np.uint64(self.buckets_per_band) == part
                found, rows = found[here], rows[here]
            hashes.append(found)
            ids.append(rows | (number << ROW_BITS))
        left, right = bucket_edges(np.concatenate(hashes), np.concatenate(ids)) if hashes else (_none(), _none())
        path = storage.join(self.path, f"{band_column(band)}-{part:05}.parquet")
        write_edges(path, left, right)
        return FileGroupTask(task.dataset_name, [path])

    @staticmethod
    def _read(path: str, band: int) -> Any:
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=["row", band_column(band)])
        return table[band_column(band)].to_numpy(), table["row"].to_numpy()


@dataclass
class MergeEdges(ProcessingStage[FileGroupTask, FileGroupTask]):
    """Makes one spanning forest of the edges in several files: never more edges than documents that have any."""

    path: str
    batch_size: int | None = 16
    name: str = "merge_edges"

    def process(self, task: FileGroupTask) -> FileGroupTask:
        return self._merge([task])

    def process_batch(self, tasks: list[FileGroupTask]) -> list[FileGroupTask | None]:
        return [self._merge(tasks)]

    def _merge(self, tasks: list[FileGroupTask]) -> FileGroupTask:
        files = sorted(path for task in tasks for path in task.data)
        left, right = spanning_forest(*read_edges(files))
        name = hashlib.sha256("\0".join(files).encode()).hexdigest()[:24]
        path = storage.join(self.path, f"forest-{name}.parquet")
        write_edges(path, left, right)
        return FileGroupTask(tasks[0].dataset_name, [path])


def bucket_edges(hashes: Any, ids: Ids) -> tuple[Ids, Ids]:
    """An edge from the first document of each bucket to each other one."""
    import numpy as np

    order = np.lexsort((ids, hashes))
    hashes, ids = hashes[order], ids[order]
    starts = np.ones(len(ids), bool)
    starts[1:] = hashes[1:] != hashes[:-1]
    firsts = ids[starts][np.cumsum(starts) - 1] if len(ids) else ids
    return firsts[~starts], ids[~starts]


def write_edges(path: str, left: Ids, right: Ids) -> None:
    """Pairs of documents as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"left": pa.array(left, pa.int64()), "right": pa.array(right, pa.int64())})
    storage.write_atomically(path, lambda sink: pq.write_table(table, sink))


def read_edges(files: Sequence[str]) -> tuple[Ids, Ids]:
    """The pairs of all files."""
    import numpy as np
    import pyarrow.parquet as pq

    tables = [pq.read_table(path) for path in files]
    if not tables:
        return _none(), _none()
    left, right = ([table[side].to_numpy() for table in tables] for side in ("left", "right"))
    return np.concatenate(left), np.concatenate(right)


def _none() -> Ids:
    import numpy as np

    return np.empty(0, np.int64)
