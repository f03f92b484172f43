"""From the `input` and `shards` sections of a plan to its shards, with what a user should know about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curator_slurm.launcher.plan import Plan
from curator_slurm.launcher.shards.listing import Progress, list_input
from curator_slurm.launcher.shards.records import InputFile, Shard
from curator_slurm.launcher.shards.split import BALANCED, parse_size, split
from curator_slurm.launcher.spec import ShardsSpec


@dataclass(frozen=True)
class ShardPlan:
    """The shards of a plan; `notes` are sentences about what is odd, or is not as asked for."""

    shards: Sequence[Shard]
    notes: Sequence[str] = ()


def plan_shards(plan: Plan, progress: Progress = lambda *_: None) -> ShardPlan:
    """List the input, look up sizes and cut it into shards; nothing is written.

    Raises:
        StorageError: an input is missing or cannot be read.
    """
    settings, inputs = plan.spec.shards, plan.spec.input
    assert settings is not None
    assert inputs is not None
    files = list_input(inputs, progress)
    shards = split(files, settings)
    return ShardPlan(shards, list(_notes(files, shards, settings)))


def _notes(files: Sequence[InputFile], shards: Sequence[Shard], settings: ShardsSpec) -> Iterator[str]:
    if settings.count is not None and settings.count > len(files):
        yield f"shards.count is {settings.count:,}, but there are {len(files):,} files: each is a shard of its own"
    empty = sum(file.bytes == 0 for file in files)
    if empty:
        yield f"{empty:,} of {len(files):,} files are empty"
    unknown = sum(file.bytes is None for file in files)
    if unknown:
        yield f"the size of {unknown:,} of {len(files):,} files is not known; they are taken for average"
    if settings.bytes_per_shard is not None:
        large = [file for file in files if (file.bytes or 0) > parse_size(settings.bytes_per_shard)]
        if large:
            yield (
                f"{len(large):,} files are larger than shards.bytes_per_shard, such as {large[0].path}; "
                "each is a shard of its own"
            )
    else:
        mean = sum(shard.bytes for shard in shards) / len(shards)
        heaviest = max(shards, key=lambda shard: shard.bytes)
        if len(heaviest.files) == 1 and heaviest.bytes > BALANCED * mean:
            file = heaviest.files[0]
            yield f"{file.path} alone makes shard {heaviest.index} {heaviest.bytes / max(mean, 1):.1f} times the mean"
