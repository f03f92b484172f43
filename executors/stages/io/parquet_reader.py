"""Reads Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.stages.columns import frame_of_table
from curator_slurm.executors.stages.io.reader import BaseReader, CompositeReader
from curator_slurm.executors.stages.io.storage import open_to_read

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass
class ParquetReaderStage(BaseReader):
    """Reads groups of Parquet files; columns keep their Arrow types.

    Where the files of a group differ, a column that one of them lacks is null there, and numbers take the wider type.
    `read_kwargs`: `storage_options`, `missing_fields`, `columns` (the same as `fields`), `filters` (as pyarrow's).
    """

    READ_KWARGS: ClassVar[tuple[str, ...]] = ("columns", "filters", "engine", "dtype_backend")

    name: str = "parquet_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, supported in (("engine", ("auto", "pyarrow")), ("dtype_backend", ("pyarrow",))):
            if self.read_kwargs.get(key, supported[0]) not in supported:
                raise ValueError(f"ParquetReader: {key} must be {' or '.join(supported)}")
        if self.fields is None and self.read_kwargs.get("columns") is not None:
            self.fields = list(self.read_kwargs["columns"])

    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """The documents of the files; None where there are none.

        Raises:
            ValueError: a file is not Parquet, lacks a field, or has other types than its neighbours.
        """
        import pyarrow as pa

        options = dict(read_kwargs or {})
        tables = [self._read(path, options, fields) for path in paths]
        tables = [table for table in tables if table.num_rows]
        if not tables:
            return None
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise ValueError(f"the columns of {paths[0]} and its neighbours do not fit together: {error}") from error
        return frame_of_table(table)

    def _read(self, path: str, options: dict[str, Any], fields: list[str] | None) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with open_to_read(path, options.get("storage_options")) as file:
            try:
                have = pq.read_schema(file).names
                missing = [name for name in fields or [] if name not in have]
                if missing and options.get("missing_fields", "error") == "error":
                    raise ValueError(f"{path} has no column {', '.join(map(repr, missing))}; it has {have}")
                file.seek(0)
                columns = [name for name in fields if name in have] if fields is not None else None
                table = pq.read_table(file, columns=columns, filters=options.get("filters"), use_threads=False)
            except pa.ArrowException as error:
                raise ValueError(f"{path}: not readable as Parquet: {error}") from error
        table = table.replace_schema_metadata(None)
        for name in missing:
            table = table.append_column(name, pa.nulls(table.num_rows))
        return table.select(fields) if fields is not None else table


@dataclass
class ParquetReader(CompositeReader):
    """Reads Parquet files: `FilePartitioningStage` and `ParquetReaderStage`."""

    STAGE: ClassVar[type[BaseReader]] = ParquetReaderStage
    DEFAULT_EXTENSIONS: ClassVar[tuple[str, ...]] = (".parquet",)

    name: str = "parquet_reader"
