"""Joining Parquet files by row groups. Imports Arrow: load it only where there is Parquet to merge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curator_slurm.common.merged_schemas import SchemaConflictError, conformed, merged_schema
from curator_slurm.launcher.dataset.merge_errors import CannotMergeError
from curator_slurm.launcher.errors import StorageError

ROW_GROUP_BYTES = 128 * 1024 * 1024
"""Row groups are joined up to this size, as they lie in memory: many tiny ones are slow to read."""
_OF_ONE_SCHEMA = (b"pandas", b"ARROW:schema")
"""Metadata that describes the columns of one file."""


def common_schema(sources: Sequence[Path]) -> pa.Schema:
    """The one schema of all files, by the rules of `common.merged_schemas`.

    Raises:
        CannotMergeError: there is none, or a file cannot be read as Parquet.
    """
    schemas = {str(source): _schema(source) for source in sources}
    first = next(iter(schemas.values()))
    if all(schema.equals(first, check_metadata=True) for schema in schemas.values()):
        return first
    try:
        common = merged_schema(schemas.items())
    except SchemaConflictError as error:
        raise CannotMergeError(str(error)) from error
    metadata = {key: value for key, value in (first.metadata or {}).items() if key not in _OF_ONE_SCHEMA}
    return common.with_metadata(metadata or None)


def join_parquet(sources: Sequence[Path], goal: Path, schema: pa.Schema) -> None:
    """One file with the rows of all, in order; row groups are never split, small ones are joined.

    Raises:
        CannotMergeError: a file cannot be read as Parquet, or the schema does not hold its values.
    """
    try:
        _join(sources, goal, schema)
    except SchemaConflictError as error:
        raise CannotMergeError(str(error)) from error
    except pa.ArrowException as error:
        raise CannotMergeError(f"{goal.parent.name}/{goal.name}: {error}") from error


def _schema(source: Path) -> pa.Schema:
    try:
        return pq.read_schema(source)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CannotMergeError(f"{source} is not readable as Parquet: {error}") from error


def _join(sources: Sequence[Path], goal: Path, schema: pa.Schema) -> None:
    codec = _codec(sources[0])
    plain = schema.remove_metadata()
    rows = 0
    with pq.ParquetWriter(goal, schema, compression=codec) as writer:
        waiting: list[pa.Table] = []
        size = 0
        for source in sources:
            with pq.ParquetFile(source) as file:
                for group in range(file.num_row_groups):
                    table = conformed(file.read_row_group(group).replace_schema_metadata(None), plain, str(source))
                    if waiting and size + table.nbytes > ROW_GROUP_BYTES:
                        _write(writer, waiting, schema)
                        waiting, size = [], 0
                    waiting.append(table)
                    size += table.nbytes
                rows += file.metadata.num_rows
        if waiting:
            _write(writer, waiting, schema)
    if pq.read_metadata(goal).num_rows != rows:
        raise StorageError(f"{goal} has not all rows of its sources")
    descriptor = os.open(goal, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(writer: pq.ParquetWriter, tables: Sequence[pa.Table], schema: pa.Schema) -> None:
    joined = pa.concat_tables(tables).replace_schema_metadata(schema.metadata)
    writer.write_table(joined, row_group_size=2**31 - 1)


def _codec(source: Path) -> str:
    with pq.ParquetFile(source) as file:
        metadata = file.metadata
        if metadata.num_row_groups and metadata.num_columns:
            return str(metadata.row_group(0).column(0).compression).lower()
    return "snappy"
