"""Near-duplicates of a whole dataset, found by MinHash and locality-sensitive hashing, as a workflow of pipelines.

1. Every batch of documents gets a file with the bands of its signatures, a column for each band.
2. Every band is a task: it reads its column of all files, and connects documents that agree. Edges are merged into
   spanning forests on the way, so that what is left is at most one edge for each near-duplicate.
3. Where a threshold is given, documents of the same group are read again and compared (`verification`).
4. The documents are read again; all but the first of each group are dropped, and the other stages follow.

No stage holds the documents, or all bands; the driver holds two numbers for each near-duplicate.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.pipeline import Pipeline
from curator_slurm.executors.stages.deduplication.exact_dedup import DropDuplicates, write_table
from curator_slurm.executors.stages.deduplication.lsh import ROW_BITS, BandTask, MatchBands, MergeEdges, read_edges
from curator_slurm.executors.stages.deduplication.minhash import HashBands, signature_file
from curator_slurm.executors.stages.deduplication.verification import CollectCandidates, PartTask, VerifyCandidates
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.tasks import FileGroupTask

if TYPE_CHECKING:
    import pyarrow as pa

NEAR_DUPLICATE = "near duplicate"
"""The reason under which near-duplicates are counted as dropped."""

log = logging.getLogger(__name__)


@dataclass
class DropNearDuplicates(DropDuplicates):
    """Drops the rows that a table of near-duplicates lists; it must directly follow the reader of the first pass."""

    REASON: ClassVar[str] = NEAR_DUPLICATE

    signatures: str = ""
    name: str = "drop_near_duplicates"

    def listed(self, task_id: str) -> dict[int, bytes | None]:
        """The table lists rows alone; the digests are in the file of the task's signatures."""
        import pyarrow.parquet as pq

        found = pq.read_table(self.duplicates, columns=["row"], filters=[("task_id", "=", task_id)])
        if not found.num_rows:
            return {}
        signed = pq.read_table(signature_file(self.signatures, task_id), columns=["row", "digest"])
        digests = dict(zip(signed["row"].to_pylist(), signed["digest"].to_pylist(), strict=True))
        return {row: digests.get(row) for row in found["row"].to_pylist()}


class FuzzyDeduplicationPipeline(Pipeline):
    """Reads documents, drops all but the first of those that are near-duplicates, and continues with `stages`.

    `char_ngrams`, `num_bands`, `minhashes_per_band` and `seed` are NeMo Curator's, with its defaults: texts of which
    about four fifths of the 24-grams are the same are near-duplicates (`minhash.threshold`). Groups are transitive, so
    that the ends of a chain may have little in common; with `jaccard_threshold`, such as 0.8, a document is dropped
    only if it shares that much of the n-grams with the one that is kept, for which near-duplicates are read once more.
    `buckets_per_band` divides a band into as many tasks: raise it where a band of all documents, 16 bytes each,
    exceeds the memory of a worker. `work_dir` is a folder on storage that all nodes share; `near_duplicates.parquet`
    stays there and says for each dropped row which one was kept.
    """

    MERGE_FILES = 16

    def __init__(
        self,
        name: str,
        reader: Any,
        stages: Sequence[Any],
        work_dir: str,
        text_field: str = "text",
        char_ngrams: int = 24,
        num_bands: int = 20,
        minhashes_per_band: int = 13,
        seed: int = 42,
        buckets_per_band: int = 1,
        description: str | None = None,
        jaccard_threshold: float | None = None,
    ) -> None:
        is_number = isinstance(jaccard_threshold, (int, float))
        if jaccard_threshold is not None and not (is_number and 0 < jaccard_threshold <= 1):
            raise ValueError(f"jaccard_threshold must be above 0 and at most 1, not {jaccard_threshold!r}")
        if buckets_per_band < 1:
            raise ValueError(f"buckets_per_band must be 1 or more, not {buckets_per_band}")
        self.reader = reader
        self.work_dir = Path(storage.absolute(work_dir))
        self.duplicates = self.work_dir / "near_duplicates.parquet"
        self._scratch = self.work_dir / "minhash"
        self._signatures = str(self._scratch / "signatures")
        self._minhash = HashBands(
            self._signatures, text_field, char_ngrams, num_bands, minhashes_per_band, seed
        )  # fmt: skip
        self._buckets_per_band = buckets_per_band
        self._jaccard_threshold = jaccard_threshold
        removal = DropNearDuplicates(str(self.duplicates), text_field, signatures=self._signatures)
        super().__init__(name, description, [reader, removal, *stages])

    def run(
        self, executor: Any = None, initial_tasks: list[Any] | None = None, checkpoint_path: str | Path | None = None
    ) -> list[Any] | None:
        """All passes on the same executor; the tasks of the last stage."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        signing = Pipeline(f"{self.name}: signatures", stages=[self.reader, self._minhash])
        signed = signing.run(executor, initial_tasks) or []
        task_ids = self._list_signatures(signed)
        forests = self._find_groups(executor) if task_ids else []
        if self._jaccard_threshold is not None and forests:
            forests = self._verify(executor, initial_tasks, self._jaccard_threshold, task_ids, forests)
        table = near_duplicates(task_ids, forests)
        write_table(self.duplicates, table)
        log.info("%d near-duplicates", table.num_rows)
        tasks = super().run(executor, initial_tasks, checkpoint_path)
        shutil.rmtree(self._scratch, ignore_errors=True)
        return tasks

    def _list_signatures(self, signed: Sequence[Any]) -> list[str]:
        """Write down which file has which number; the ids of the batches in that order, which is that of the input."""
        import pyarrow as pa

        files = sorted((task._metadata["partition_index"], task._metadata["signed"], task.data[0]) for task in signed)
        task_ids = [task_id for _, task_id, _ in files]
        paths = [path for *_, path in files]
        table = pa.table({"task_id": pa.array(task_ids, pa.string()), "path": pa.array(paths, pa.string())})
        write_table(self._scratch / "signatures.parquet", table)
        return task_ids

    def _find_groups(self, executor: Any) -> list[str]:
        """Few files of edges that connect all near-duplicates."""
        edges = str(self._scratch / "edges")
        finding = Pipeline(
            f"{self.name}: near-duplicates",
            stages=[
                MatchBands(str(self._scratch / "signatures.parquet"), edges, self._buckets_per_band),
                MergeEdges(edges, self.MERGE_FILES),
            ],
        )
        bands = [
            BandTask(data=(band, part))
            for band in range(self._minhash.num_bands)
            for part in range(self._buckets_per_band)
        ]
        files = _files(finding.run(executor, bands))
        while len(files) > self.MERGE_FILES:
            groups = [files[start : start + self.MERGE_FILES] for start in range(0, len(files), self.MERGE_FILES)]
            merging = Pipeline(f"{self.name}: merge", stages=[MergeEdges(edges, 1)])
            files = _files(merging.run(executor, [FileGroupTask("edges", group) for group in groups]))
        return files

    def _verify(
        self,
        executor: Any,
        initial_tasks: list[Any] | None,
        threshold: float,
        task_ids: Sequence[str],
        forests: Sequence[str],
    ) -> list[str]:
        """Files of edges that connect documents with the one that is kept for them."""
        import pyarrow as pa

        members = candidates(task_ids, forests)
        if not members.num_rows:
            return []
        listed, texts = self._scratch / "candidates.parquet", self._scratch / "texts.parquet"
        write_table(listed, members)
        parts = self._minhash.num_bands * self._buckets_per_band
        collecting = CollectCandidates(str(listed), str(self._scratch / "candidates"), self._minhash.text_field, parts)
        reading = Pipeline(f"{self.name}: candidates", stages=[self.reader, collecting])
        write_table(texts, pa.table({"path": pa.array(_files(reading.run(executor, initial_tasks)), pa.string())}))
        comparing = VerifyCandidates(str(texts), str(self._scratch / "verified"), threshold, self._minhash.char_ngrams)
        verifying = Pipeline(f"{self.name}: verification", stages=[comparing])
        return _files(verifying.run(executor, [PartTask(data=part) for part in range(parts)]))


def near_duplicates(task_ids: Sequence[str], forests: Sequence[str]) -> pa.Table:
    """The rows to drop, from files of edges: all but the first of each group, in the order of the input."""
    import numpy as np
    import pyarrow as pa

    from curator_slurm.executors.stages.deduplication.connected_components import spanning_forest

    kept, dropped = spanning_forest(*read_edges(forests))
    order = np.argsort(dropped)
    return pa.table({**_places(task_ids, dropped[order]), **_places(task_ids, kept[order], "kept_")})


def candidates(task_ids: Sequence[str], forests: Sequence[str]) -> pa.Table:
    """All documents that are connected with others, in the order of the input, with the number of their group."""
    import pyarrow as pa

    from curator_slurm.executors.stages.deduplication.connected_components import components

    ids, roots = components(*read_edges(forests))
    return pa.table({**_places(task_ids, ids), "id": pa.array(ids), "group": pa.array(roots)})


def _places(task_ids: Sequence[str], ids: Any, prefix: str = "") -> dict[str, Any]:
    """The columns that say where documents are."""
    import pyarrow as pa

    names = pa.array(task_ids, pa.string())
    return {
        f"{prefix}task_id": names.take(pa.array(ids >> ROW_BITS)),
        f"{prefix}row": pa.array(ids & ((1 << ROW_BITS) - 1)),
    }


def _files(tasks: Sequence[Any] | None) -> list[str]:
    return sorted(path for task in tasks or [] for path in task.data)
