"""From the `input` and `shards` sections of a plan to its shards, with what a user should know about them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from curator_slurm.common.in_words import are, several
from curator_slurm.common.sizes import parse_size
from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.inputs.address import show
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.listing import Progress, list_inputs
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.sharding.split import BALANCED, split
from curator_slurm.launcher.spec.data_sections import ShardsSpec


@dataclass(frozen=True)
class ShardPlan:
    """The shards of a plan; `notes` are sentences about what is odd, or is not as asked for."""

    shards: Sequence[Shard]
    notes: Sequence[str] = ()
    list_sha256: str = ""
    """See `Listing`."""


def plan_shards(plan: Plan, progress: Progress = lambda *_: None) -> ShardPlan:
    """List the input, look up sizes and cut it into shards; without `shards` it is one. Nothing is written.

    Raises:
        StorageError: an input is missing or cannot be read.
        SpecError: the input cannot be cut as `shards` says.
    """
    settings, inputs = plan.spec.shards, plan.spec.input
    if inputs is None:
        return ShardPlan([Shard(0, ())])
    with collector_off():
        listing = list_inputs(inputs, progress)
        if settings is None:
            return ShardPlan([Shard(0, tuple(listing.files))], listing.notes, listing.list_sha256)
        try:
            shards = split(listing.files, settings)
        except ValueError as error:
            where = plan.origins.get("shards.bytes_per_shard", "")
            problem = SpecProblem("shards.bytes_per_shard", f"`shards.bytes_per_shard`: {error}", where)
            raise SpecError([problem]) from None
        notes = [*listing.notes, *_oddities(listing.files, shards, settings)]
        return ShardPlan(shards, notes, listing.list_sha256)


@contextmanager
def collector_off() -> Iterator[None]:
    """Python's collector of cycles would look at each of a million records again and again; there are no cycles."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _oddities(files: Sequence[InputFile], shards: Sequence[Shard], settings: ShardsSpec) -> Iterator[str]:
    total = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    if settings.count is not None and settings.count > len(files):
        yield f"shards.count is {settings.count:,}, but there are only {total}: each is a shard of its own"
    empty = [file.path for file in files if file.bytes == 0]
    if empty:
        have = "has" if len(empty) == 1 else "have"
        yield f"{len(empty):,} of {total} {have} no content (0 bytes), such as {show(min(empty))}"
    unknown = [file.path for file in files if file.bytes is None]
    if unknown:
        how = "shards have equal numbers of files" if len(unknown) == len(files) else "they are taken for average"
        yield f"the size of {len(unknown):,} of {total} is not known, such as that of {show(min(unknown))}; {how}"
    else:
        yield from _large(files, shards, settings)


def _large(files: Sequence[InputFile], shards: Sequence[Shard], settings: ShardsSpec) -> Iterator[str]:
    """Files that are larger than a shard should be."""
    if settings.bytes_per_shard is not None:
        most = parse_size(settings.bytes_per_shard)
        large = [file for file in files if (file.bytes or 0) > most]
        if large:
            largest = max(large, key=lambda file: (file.bytes or 0, file.path))
            yield (
                f"{len(large):,} of {several(len(files), 'file')} {are(len(large))} larger than "
                "shards.bytes_per_shard, each a shard of its own; "
                f"the largest is {show(largest.path)} with {largest.bytes:,} bytes"
            )
        return
    sizes = [shard.bytes for shard in shards]
    mean = sum(sizes) / len(sizes)
    heaviest = shards[sizes.index(max(sizes))]
    largest = max(heaviest.files, key=lambda file: file.bytes or 0)
    if (largest.bytes or 0) > BALANCED * mean:
        yield f"{show(largest.path)} alone makes shard {heaviest.index} {heaviest.bytes / mean:.1f} times the mean"
