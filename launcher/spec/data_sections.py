"""The sections of a spec about data: `input`, its `shards`, and `output`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from curator_slurm.launcher.spec.value_types import LineList, OrPlain, Path, Section, Size, Whole, problem


class InputSpec(Section):
    """The files that `${input.files}` stands for: `paths`, `manifest`, or both."""

    paths: LineList = Field(default=[], description="files, folders, globs or fsspec addresses")
    manifest: Path | None = Field(
        default=None,
        description="a list of files: .txt with a path per line, or .jsonl or .csv with path and, if known, bytes "
        "and sha256",
    )

    @model_validator(mode="after")
    def _something(self) -> InputSpec:
        if not self.paths and self.manifest is None:
            raise problem("`input` requires paths or manifest", "input.paths", "input")
        return self


class ShardOrder(StrEnum):
    """How files are put into shards."""

    SIZE = "size"
    NAME = "name"


class ShardsSpec(Section):
    """Splits the input into shards for job arrays, by exactly one of `count`, `files_per_shard`, `bytes_per_shard`."""

    count: Whole | None = Field(default=None, ge=1, description="number of shards")
    files_per_shard: Whole | None = Field(default=None, ge=1, description="maximum number of files in a shard")
    bytes_per_shard: Size | None = Field(
        default=None, description="maximum size of a shard, such as 10G; a larger file becomes a shard of its own"
    )
    max_running: Whole | None = Field(
        default=None, ge=1, description="maximum number of array elements that run at once; default: no limit"
    )
    per_element: Whole = Field(
        default=1, ge=1, description="shards per array element, processed one after the other on one Ray cluster"
    )
    order: ShardOrder = Field(
        default=ShardOrder.SIZE,
        description="size balances bytes and starts with the largest shards; name keeps neighbours together",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> ShardsSpec:
        choices = ("count", "files_per_shard", "bytes_per_shard")
        given = [key for key in choices if getattr(self, key) is not None]
        if len(given) != 1:
            found = "none of them is set" if not given else f"{' and '.join(given)} are set"
            raise problem(
                f"`shards` requires exactly one of count, files_per_shard and bytes_per_shard; {found}",
                f"shards.{given[-1]}" if given else "shards",
                *(f"shards.{key}" for key in choices),
            )
        return self


class CollectMode(StrEnum):
    """Who publishes the outputs of a sharded run."""

    MANUAL = "manual"
    AUTO = "auto"


class IfExists(StrEnum):
    """What becomes of an `output.path` that is not empty."""

    FAIL = "fail"
    REPLACE = "replace"
    NEW_VERSION = "new_version"


class MergeSpec(Section):
    """How `collect` merges many small files into few large ones."""

    target_size: Size = Field(
        default="1G", description="files are merged up to this size; K, M, G and T are powers of 1024"
    )


def _merge(value: Any) -> Any:
    """`true` is a section with its defaults, `false` none."""
    return ({} if value else None) if isinstance(value, bool) else value


class OutputSpec(Section):
    """Where the outputs are published when the run has succeeded; default: `outputs` in the run directory."""

    path: Path | None = Field(
        default=None, description="a folder that is empty or does not exist yet; else `if_exists` decides"
    )
    if_exists: IfExists = Field(
        default=IfExists.FAIL,
        description="where `path` is not empty: fail at submit; replace what an earlier run has published there, once "
        "the new outputs are complete; new_version publishes to the first free one of `path-2`, `path-3` and so on",
    )
    collect: CollectMode = Field(
        default=CollectMode.MANUAL,
        description="for sharded runs: manual waits for `curator-slurm collect`, auto submits a small job that runs it",
    )
    merge: Annotated[MergeSpec | None, BeforeValidator(_merge), OrPlain({"type": "boolean"})] = Field(
        default=None,
        description="for sharded runs: merge JSONL, text and Parquet files; `true`, or a section with `target_size`",
    )
    checksums: bool = Field(
        default=False, description="for sharded runs: record and verify SHA-256 checksums of all files"
    )
