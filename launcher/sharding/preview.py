"""What a spec would submit, in numbers: files, shards, array elements and arrays. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.runs.user_code import CodeRecord
from curator_slurm.launcher.sharding.arrays import JobArray

BINS = 10
_LARGEST = 5


@dataclass(frozen=True)
class Bin:
    """So many shards have sizes from `low` to `high`."""

    low: int
    high: int
    shards: int


@dataclass(frozen=True, kw_only=True)
class Preview:
    """The split of an input; without `shards` in the spec it is one part."""

    name: str
    cluster: str
    sharded: bool
    shards: Sequence[Shard]
    arrays: Sequence[JobArray] = ()
    max_running: int | None = None
    per_element: int = 1
    max_array_size: int | None = None
    notes: Sequence[str] = ()
    output: str | None = None
    """Where the outputs go, if not to the run directory."""
    code: CodeRecord | None = None
    """The modules beside the spec that the run would take with it."""
    explain: Sequence[str] = ()
    """Why `resources` are what they are, where the site has decided."""
    restarts: str = ""
    """How it goes on by itself after its job; empty where there is no Slurm."""

    @cached_property
    def files(self) -> int:
        return sum(len(shard.files) for shard in self.shards)

    @property
    def bytes(self) -> int:
        return sum(self.sizes)

    @cached_property
    def sizes(self) -> list[int]:
        return [shard.bytes for shard in self.shards]

    @property
    def elements(self) -> int:
        return sum(len(array.elements) for array in self.arrays)

    @cached_property
    def unknown(self) -> int:
        """Files of unknown size."""
        return sum(file.bytes is None for shard in self.shards for file in shard.files)

    @property
    def largest_to_mean(self) -> float | None:
        """The balance of the split; None where there are no bytes."""
        return max(self.sizes) * len(self.shards) / self.bytes if self.bytes else None

    @property
    def largest(self) -> list[Shard]:
        """The largest shards, the first of equals first."""
        return sorted(self.shards, key=lambda shard: (-shard.bytes, shard.index))[:_LARGEST]

    def to_json(self) -> dict[str, Any]:
        """Plain data; which files are in which shard is in the manifest."""
        sizes = self.sizes
        counts = [len(shard.files) for shard in self.shards]
        value: dict[str, Any] = {
            "name": self.name,
            "cluster": self.cluster,
            "files": self.files,
            "bytes": self.bytes,
            "files_of_unknown_size": self.unknown,
            "shards": len(self.shards) if self.sharded else None,
            "notes": list(self.notes),
            "output": self.output,
            "code": None if self.code is None else {**vars(self.code), "files": sorted(self.code.files)},
        }
        if self.explain:
            value["resources"] = {"explain": list(self.explain)}
        if self.restarts:
            value["restarts"] = self.restarts
        if not self.sharded:
            return value
        return value | {
            "bytes_per_shard": {"largest": max(sizes), "mean": self.bytes / len(sizes), "smallest": min(sizes)},
            "files_per_shard": {"largest": max(counts), "mean": self.files / len(counts), "smallest": min(counts)},
            "largest_to_mean": self.largest_to_mean,
            "largest_shards": [{"shard": s.index, "bytes": s.bytes, "files": len(s.files)} for s in self.largest],
            "histogram": [asdict(part) for part in histogram(sizes)],
            "elements": self.elements,
            "shards_per_element": self.per_element,
            "max_running": self.max_running,
            "max_array_size": self.max_array_size,
            "arrays": [
                {
                    "elements": len(array.elements),
                    "shards": len(array.shards),
                    "array": array.indices,
                    "max_running": array.max_running,
                    "after": array.after,
                }
                for array in self.arrays
            ],
        }


def histogram(sizes: Sequence[int], bins: int = BINS) -> list[Bin]:
    """How many sizes there are in parts of equal width; `high` belongs to the last part only."""
    low, high = min(sizes), max(sizes)
    if low == high:
        return [Bin(low, high, len(sizes))]
    bins = min(bins, high - low)
    counts = [0] * bins
    for size in sizes:
        counts[min((size - low) * bins // (high - low), bins - 1)] += 1
    edges = [low + (high - low) * number // bins for number in range(bins + 1)]
    return [Bin(edges[number], edges[number + 1], counts[number]) for number in range(bins)]
