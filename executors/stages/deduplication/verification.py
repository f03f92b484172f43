"""Candidates for near-duplicates compared for real: n-grams in common, not agreement by chance or by way of others.

Groups of candidates are chains: the first document may share nothing with the last. Here every document of a group is
compared with those of it that stay, in the order of the input, and goes only where one of them is similar enough.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.deduplication.lsh import write_edges
from curator_slurm.executors.stages.deduplication.minhash import MinHasher, texts_to_compare
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.io.writer import file_stem
from curator_slurm.executors.tasks import DocumentBatch, FileGroupTask, Task

if TYPE_CHECKING:
    import pyarrow as pa

    from curator_slurm.executors.stages.deduplication.minhash import Numbers


@dataclass
class CollectCandidates(ProcessingStage[DocumentBatch, FileGroupTask]):
    """Writes the candidates of a batch to a file in `path`, a row group for each of `parts`; the documents end here.

    `candidates` is a table with the row, the number and the group of each candidate of all batches.
    """

    candidates: str
    path: str
    text_field: str = "text"
    parts: int = 1
    name: str = "collect_candidates"

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def process(self, task: DocumentBatch) -> FileGroupTask:
        """The file of the batch's candidates, which may be none.

        Raises:
            ValueError: a candidate is no longer there.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        listed = pq.read_table(self.candidates, filters=[("task_id", "=", task.task_id)]).to_pylist()
        texts = dict(texts_to_compare(task.data, self.text_field)) if listed else {}
        parts: list[list[dict[str, Any]]] = [[] for _ in range(self.parts)]
        for entry in listed:
            if entry["row"] not in texts:
                raise ValueError(f"row {entry['row']} of task {task.task_id} has changed since the first pass")
            text = texts[entry["row"]].encode("utf-8", "surrogatepass")
            part = entry["group"] % self.parts
            parts[part].append({"part": part, "group": entry["group"], "id": entry["id"], "text": text})
        path = storage.join(self.path, f"{file_stem(task.task_id)}.parquet")
        schema = _schema()

        def write(sink: Any) -> None:
            with pq.ParquetWriter(sink, schema) as writer:
                for rows in filter(None, parts):
                    writer.write_table(pa.Table.from_pylist(rows, schema))

        storage.write_atomically(path, write)
        return FileGroupTask(task.dataset_name, [path])


@dataclass
class PartTask(Task[int]):
    """The number of a part of all groups."""

    dataset_name: str = "candidates"
    data: int = 0

    def get_deterministic_id(self) -> str:
        return str(self.data)


@dataclass
class VerifyCandidates(ProcessingStage[PartTask, FileGroupTask]):
    """Writes an edge from a document that stays to each one that is at least as similar to it as the threshold.

    `files` is a list of the files of `CollectCandidates`. The texts of a part are in memory.
    """

    files: str
    path: str
    jaccard_threshold: float
    char_ngrams: int = 24
    name: str = "verify_candidates"
    _files: list[str] = field(default_factory=list, init=False, repr=False)

    def setup(self, _: Any = None) -> None:
        import pyarrow.parquet as pq

        self._files = pq.read_table(self.files, columns=["path"])["path"].to_pylist()

    def process(self, task: PartTask) -> FileGroupTask:
        import numpy as np

        hasher = MinHasher(1, self.char_ngrams)
        edges: list[tuple[int, int]] = []
        for ids, texts in _groups(self._files, task.data):
            grams = (hasher.ngrams(text.decode("utf-8", "surrogatepass")) for text in texts)
            for index, representative in enumerate(representatives(grams, self.jaccard_threshold)):
                if representative != index:
                    edges.append((ids[representative], ids[index]))
        kept, dropped = np.array(edges, np.int64).reshape(-1, 2).T
        path = storage.join(self.path, f"verified-{task.data:05}.parquet")
        write_edges(path, kept, dropped)
        return FileGroupTask(task.dataset_name, [path])


def representatives(documents: Iterable[Numbers], threshold: float) -> list[int]:
    """For each document, as its n-grams in ascending order, the first that stays and is similar enough; else itself.

    Two sets with this Jaccard similarity share one of the least few numbers of either, so that a document is compared
    only with those that do.
    """
    staying: dict[int, Numbers] = {}
    index: dict[int, list[int]] = {}
    found: list[int] = []
    for number, grams in enumerate(documents):
        least = grams[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1].tolist()
        near = sorted({other for gram in least for other in index.get(gram, ())})
        same = next((other for other in near if jaccard(staying[other], grams) >= threshold), None)
        if same is None:
            staying[number] = grams
            for gram in least:
                index.setdefault(gram, []).append(number)
        found.append(number if same is None else same)
    return found


def jaccard(one: Numbers, other: Numbers) -> float:
    """The share of two sets' numbers that both have."""
    import numpy as np

    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)


def _groups(files: Sequence[str], part: int) -> Iterator[tuple[list[int], list[bytes]]]:
    """Number and text of the documents of each group of a part, both in the order of the input."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [pq.read_table(path, columns=["group", "id", "text"], filters=[("part", "=", part)]) for path in files]
    if not tables:
        return
    table = pa.concat_tables(tables).sort_by([("group", "ascending"), ("id", "ascending")])
    groups = table["group"].to_numpy()
    bounds = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), len(table)]
    for start, end in itertools.pairwise(bounds):
        rows = table.slice(start, end - start)
        yield rows["id"].to_pylist(), rows["text"].to_pylist()


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers = [(name, pa.int64()) for name in ("part", "group", "id")]
    return pa.schema([*numbers, ("text", pa.large_binary())])
