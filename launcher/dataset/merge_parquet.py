"""Joining Parquet files by row groups. Imports Arrow: load it only where there is Parquet to merge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curator_slurm.launcher.errors import StorageError

ROW_GROUP_BYTES = 128 * 1024 * 1024
"""Row groups are joined up to this size, as they lie in memory: many tiny ones are slow to read."""


def join_parquet(sources: Sequence[Path], goal: Path) -> None:
    """One file with the rows of all, in order; row groups are never split, small ones are joined.

    Raises:
        StorageError: a file cannot be read as Parquet, or the files have different schemas.
    """
    try:
        _join(sources, goal)
    except pa.ArrowException as error:
        raise StorageError(f"Parquet files cannot be merged into {goal.parent}: {error}") from error


def _join(sources: Sequence[Path], goal: Path) -> None:
    schema = _common_schema(sources)
    codec = _codec(sources[0])
    rows = 0
    with pq.ParquetWriter(goal, schema, compression=codec) as writer:
        waiting: list[pa.Table] = []
        size = 0
        for source in sources:
            with pq.ParquetFile(source) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group).cast(schema)
                    if waiting and size + table.nbytes > ROW_GROUP_BYTES:
                        writer.write_table(pa.concat_tables(waiting), row_group_size=2**31 - 1)
                        waiting, size = [], 0
                    waiting.append(table)
                    size += table.nbytes
                rows += file.metadata.num_rows
        if waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=2**31 - 1)
    if pq.read_metadata(goal).num_rows != rows:
        raise StorageError(f"{goal} has not all rows of its sources")
    descriptor = os.open(goal, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _common_schema(sources: Sequence[Path]) -> pa.Schema:
    """The one schema of all; a column that is empty in some files (type null) takes its type from the others."""
    schemas = [pq.read_schema(source) for source in sources]
    try:
        common = pa.unify_schemas([schema.remove_metadata() for schema in schemas])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StorageError(_differ(sources, schemas)) from error
    if any(schema.names != common.names for schema in schemas):
        raise StorageError(_differ(sources, schemas))
    return common.with_metadata(schemas[0].metadata)


def _differ(sources: Sequence[Path], schemas: Sequence[pa.Schema]) -> str:
    for source, schema in zip(sources, schemas, strict=True):
        if not schema.equals(schemas[0]):
            mine, first = set(map(str, schema)), set(map(str, schemas[0]))
            return (
                f"Parquet files of different schemas cannot be merged: {source} has "
                f"{', '.join(sorted(mine - first)) or 'other columns'}, {sources[0]} has "
                f"{', '.join(sorted(first - mine)) or 'other columns'}. Remove output.merge and submit again, "
                "or make the pipeline write one schema"
            )
    return "Parquet files of different schemas cannot be merged"


def _codec(source: Path) -> str:
    with pq.ParquetFile(source) as file:
        metadata = file.metadata
        if metadata.num_row_groups and metadata.num_columns:
            return str(metadata.row_group(0).column(0).compression).lower()
    return "snappy"
