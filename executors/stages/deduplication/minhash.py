"""MinHash signatures: short rows of numbers; two texts share about the same fraction of them as of their n-grams.

A signature is divided into bands. Two texts whose n-grams have the Jaccard similarity s agree in a whole band of r
numbers with probability s^r, so in at least one of b bands with 1 - (1 - s^r)^b.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.columns import values_of
from curator_slurm.executors.stages.deduplication.exact_dedup import digest
from curator_slurm.executors.stages.io import storage
from curator_slurm.executors.stages.io.writer import file_stem
from curator_slurm.executors.tasks import DocumentBatch, FileGroupTask

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.uint64]

_BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2^64."""
_ROWS_AT_ONCE = 1 << 20
"""Products that are held at once, 8 bytes each."""


class MinHasher:
    """Signatures of texts: deterministic, on every machine."""

    def __init__(self, count: int, char_ngrams: int = 24, seed: int = 42) -> None:
        import numpy as np

        if not isinstance(count, int) or not isinstance(char_ngrams, int) or count < 1 or char_ngrams < 1:
            raise ValueError(f"count and char_ngrams must be 1 or more, not {count!r} and {char_ngrams!r}")
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed must be a whole number from 0 on, not {seed!r}")
        self.count = count
        self.char_ngrams = char_ngrams
        chance = np.random.Generator(np.random.PCG64(seed))
        self._factors = chance.integers(0, 1 << 64, count, dtype=np.uint64) | np.uint64(1)
        self._offsets = chance.integers(0, 1 << 64, count, dtype=np.uint64)

    def signature(self, text: str) -> npt.NDArray[np.uint32]:
        """`count` numbers, each the least that one hash function gives for any n-gram of the text."""
        import numpy as np

        grams = self.ngrams(text)
        least = np.empty(self.count, np.uint64)
        step = max(1, _ROWS_AT_ONCE // len(grams))
        for start in range(0, self.count, step):
            part = slice(start, start + step)
            hashed = self._factors[part, None] * grams + self._offsets[part, None]
            least[part] = hashed.min(axis=1)
        return (least >> np.uint64(32)).astype(np.uint32)

    def ngrams(self, text: str) -> Numbers:
        """A hash of each distinct n-gram; a text that is shorter is one n-gram."""
        import numpy as np

        letters = np.frombuffer(normalized(text).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        width = min(self.char_ngrams, len(letters))
        # The windows' polynomials from running sums: c[i] / B^i summed up, differences multiplied by B^i again.
        powers, inverses = _powers(_BASE, len(letters)), _powers(pow(_BASE, -1, 1 << 64), len(letters))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((letters + np.uint64(1)) * inverses, dtype=np.uint64)])
        windows = (sums[width:] - sums[: len(sums) - width]) * powers[: len(sums) - width]
        found: Numbers = np.unique(mixed(windows))
        return found


def texts_to_compare(data: Any, text_field: str) -> list[tuple[int, str]]:
    """Row and text of the documents that have one; a null is similar to nothing."""
    return [
        (row, text if isinstance(text, str) else repr(text))
        for row, text in enumerate(values_of(data, text_field))
        if text is not None and not (isinstance(text, float) and math.isnan(text))
    ]


def normalized(text: str) -> str:
    """The text as it is compared: lower case, white space as single blanks."""
    return re.sub(r"\s+", " ", text).strip().lower() or " "


def mixed(numbers: Numbers) -> Numbers:
    """Numbers of which every bit depends on every bit of the input (the finalizer of splitmix64)."""
    import numpy as np

    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def band_hashes(signatures: npt.NDArray[np.uint32], bands: int) -> Numbers:
    """One number for each band of each signature: a row for each signature, a column for each band."""
    import numpy as np

    rows = signatures.reshape(len(signatures), bands, -1).astype(np.uint64)
    hashes: Numbers = np.full((len(signatures), bands), rows.shape[2], np.uint64)
    for column in range(rows.shape[2]):
        hashes = mixed((hashes * np.uint64(_BASE)) ^ rows[:, :, column])
    return hashes


def match_probability(similarity: float, num_bands: int, minhashes_per_band: int) -> float:
    """How likely two texts of this Jaccard similarity share a band."""
    return 1 - (1 - similarity**minhashes_per_band) ** num_bands


def threshold(num_bands: int, minhashes_per_band: int) -> float:
    """The similarity at which two texts are found with a probability of one half."""
    return float((1 - 0.5 ** (1 / num_bands)) ** (1 / minhashes_per_band))


def _powers(base: int, count: int) -> Numbers:
    import numpy as np

    factors = np.full(max(count, 1), base, np.uint64)
    factors[0] = 1
    powers: Numbers = np.cumprod(factors, dtype=np.uint64)
    return powers[:count]


@dataclass
class HashBands(ProcessingStage[DocumentBatch, FileGroupTask]):
    """Writes the bands of every document of a batch to a file in `path`, a column for each; the documents end here.

    Null documents get none: they are similar to nothing.
    """

    path: str
    text_field: str = "text"
    char_ngrams: int = 24
    num_bands: int = 20
    minhashes_per_band: int = 13
    seed: int = 42
    name: str = "hash_bands"
    _hasher: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = storage.absolute(self.path)
        for key in ("char_ngrams", "num_bands", "minhashes_per_band"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be 1 or more, not {getattr(self, key)}")

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.text_field]

    def setup(self, _: Any = None) -> None:
        self._hasher = MinHasher(self.num_bands * self.minhashes_per_band, self.char_ngrams, self.seed)

    def process(self, task: DocumentBatch) -> FileGroupTask:
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts = texts_to_compare(task.data, self.text_field)
        signatures = np.empty((len(texts), self._hasher.count), np.uint32)
        for index, (_, text) in enumerate(texts):
            signatures[index] = self._hasher.signature(text)
        bands = band_hashes(signatures, self.num_bands)
        columns = {
            "row": pa.array([row for row, _ in texts], pa.int64()),
            "digest": pa.array([digest(text) for _, text in texts], pa.binary()),
        }
        columns |= {band_column(band): pa.array(bands[:, band]) for band in range(self.num_bands)}
        path = signature_file(self.path, task.task_id)
        storage.write_atomically(path, lambda sink: pq.write_table(pa.table(columns), sink))
        metadata = {"partition_index": task._metadata.get("partition_index", 0), "signed": task.task_id}
        return FileGroupTask(task.dataset_name, [path], _metadata=metadata)


def band_column(band: int) -> str:
    """Name of the column with a band's hashes."""
    return f"band_{band:03}"


def signature_file(folder: str, task_id: str) -> str:
    """Where the bands of a batch are."""
    return storage.join(folder, f"{file_stem(task_id)}.parquet")
