"""Reads Parquet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.common.merged_schemas import SchemaConflictError, conformed, merged_schema
from curator_slurm.executors.remarks import leave_out_files
from curator_slurm.executors.stages.columns import frame_of_table
from curator_slurm.executors.stages.io.compression import split_compression
from curator_slurm.executors.stages.io.pandas_options import keywords, needs_pandas, read_frames
from curator_slurm.executors.stages.io.partition_columns import CHOICES, partition_names, with_partition_columns
from curator_slurm.executors.stages.io.reader import (
    BaseReader,
    CompositeReader,
    missing_message,
    named,
    with_fields,
)
from curator_slurm.executors.stages.io.storage import open_to_read
from curator_slurm.executors.stages.option_checks import check_choice

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass
class ParquetReaderStage(BaseReader):
    """Reads groups of Parquet files; columns keep their Arrow types.

    The files of a group get one schema, by the rules that `common.merged_schemas` states: a column that one of them
    lacks is null there, numbers take the wider type. What the names of folders say (`year=2024/`) are columns, too,
    numbers or text; `partitioning: null` leaves them out. With `on_task_error: skip` a file that cannot be read costs
    the file and not its group.
    `read_kwargs`: `storage_options`, `missing_fields`, `columns` (the same as `fields`), `filters`, `partitioning`, and
    the other arguments of `pandas.read_parquet`, its `engine`'s among them. Where one of those asks for something else
    than the above (`dtype_backend`, `engine="fastparquet"`, `use_pandas_metadata`...), pandas reads the files, with
    `pyarrow` as the default of `engine` and `dtype_backend`.
    """

    name: str = "parquet_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fields is None and self.read_kwargs.get("columns") is not None:
            self.fields = list(self.read_kwargs["columns"])
        if isinstance(self.read_kwargs.get("partitioning", "hive"), (str, type(None))):
            check_choice("ParquetReader", self.read_kwargs, "partitioning", CHOICES)

    def known_read_kwargs(self) -> list[str]:
        import pandas as pd
        import pyarrow.parquet as pq

        other_engine = self.read_kwargs.get("engine", "auto") not in ("auto", "pyarrow")
        return [*keywords(pd.read_parquet), *keywords(pq.read_table), *(self.read_kwargs if other_engine else ())]

    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """The documents of the files; None where there are none.

        Raises:
            ValueError: a file is not Parquet, lacks a field, or has other types than its neighbours.
        """
        options = dict(read_kwargs or {})
        if needs_pandas(options, _ARROW):
            return _read_with_pandas(paths, options, fields)
        tables: dict[str, pa.Table] = {}
        wrong: dict[str, ValueError] = {}
        for path in paths:
            try:
                tables[path] = _read(path, options, fields)
            except ValueError as error:
                wrong[path] = error
        leave_out_files(wrong, paths)
        return _joined(tables, fields, options)


def _read(path: str, options: dict[str, Any], fields: list[str] | None) -> pa.Table:
    """The rows of one file with the fields that it has, or with any one column, so that the rows count."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    filters = options.get("filters")
    with open_to_read(path, options.get("storage_options")) as file:
        try:
            have = pq.read_schema(file).names
            if twice := [name for name, times in Counter(have).items() if times > 1 and name in (fields or have)]:
                raise ValueError(
                    f"{path}: several columns have the name {twice[0]!r}: write the file again with a name for "
                    "each, or read others alone (fields)"
                )
            in_folders = partition_names([path]) if _is_hive(options) else []
            file.seek(0)
            wanted = [name for name in fields if name in have] or have[:1] if fields is not None else None
            if filters is None or not in_folders:
                table = pq.read_table(file, columns=wanted, filters=filters, use_threads=False)
            else:  # they may be about what the folders say
                whole = pq.read_table(file, use_threads=False)
                table = with_partition_columns(whole, {path: whole.num_rows}, options.get("storage_options"))
                table = table.filter(pq.filters_to_expression(filters)).select(have if wanted is None else wanted)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(f"{path}: not readable as Parquet: {error}{_what_it_is(path)}") from error
    return table.replace_schema_metadata(None)


def _is_hive(options: dict[str, Any]) -> bool:
    return bool(options.get("partitioning", "hive") == "hive")


def _what_it_is(path: str) -> str:
    """What may be wrong with a file that is no Parquet, by its name."""
    stem, compression = split_compression(path)
    if compression and stem.endswith(".parquet"):
        return f"; it seems to be compressed as a whole, with {compression}: decompress it first"
    return ""


def _joined(tables: dict[str, pa.Table], fields: list[str] | None, options: dict[str, Any]) -> pd.DataFrame | None:
    """The rows of all files in one schema, nulls where a file lacks a column.

    Raises:
        ValueError: no file has a field, or the types of a column cannot be joined.
    """
    import pyarrow as pa

    if not tables:
        return None
    filled = {path: table for path, table in tables.items() if table.num_rows} or dict(list(tables.items())[:1])
    try:
        schema = merged_schema((path, table.schema) for path, table in filled.items())
        joined = pa.concat_tables([conformed(table, schema, path) for path, table in filled.items()])
    except SchemaConflictError as error:
        raise ValueError(
            f"cannot combine the columns of {named(list(tables))}: {error}. Read the files apart "
            "(files_per_partition: 1), or without the column (fields)"
        ) from error
    if _is_hive(options):
        joined = with_partition_columns(
            joined, {path: table.num_rows for path, table in filled.items()}, options.get("storage_options")
        )
    have = dict.fromkeys([*joined.column_names, *(name for table in tables.values() for name in table.column_names)])
    missing = [name for name in fields or [] if name not in have]
    if missing and options.get("missing_fields", "error") == "error":
        found = list(dict.fromkeys([*(name for path in tables for name in _columns_in(path, options)), *have]))
        raise ValueError(missing_message(list(tables), missing, found))
    there = set(joined.column_names)
    for name in dict.fromkeys([*missing, *have]):
        if name not in there:
            joined = joined.append_column(name, pa.nulls(joined.num_rows))
    return frame_of_table(joined.select(fields) if fields is not None else joined)


def _columns_in(path: str, options: dict[str, Any]) -> list[str]:
    import pyarrow.parquet as pq

    with open_to_read(path, options.get("storage_options")) as file:
        return list(pq.read_schema(file).names)


_ARROW: dict[str, tuple[Any, ...] | None] = {
    "storage_options": None,
    "missing_fields": None,
    "columns": None,
    "filters": None,
    "engine": ("auto", "pyarrow"),
    "dtype_backend": ("pyarrow",),
    "partitioning": CHOICES,
    "filesystem": (None,),
}
"""What needs no pandas."""


def _read_with_pandas(paths: list[str], options: dict[str, Any], fields: list[str] | None) -> pd.DataFrame | None:
    import pandas as pd

    own = ("storage_options", "missing_fields", "columns")
    arguments = {"engine": "pyarrow", **{key: value for key, value in options.items() if key not in own}}
    if arguments["engine"] != "fastparquet":
        arguments.setdefault("dtype_backend", "pyarrow")
    if options.get("missing_fields", "error") == "error":
        arguments["columns"] = fields

    def read(path: str, **remote: Any) -> pd.DataFrame:
        return pd.read_parquet(path, **arguments, **remote)

    data = read_frames(read, paths, options.get("storage_options"))
    return None if data is None else with_fields(data, fields, paths, options)


@dataclass
class ParquetReader(CompositeReader):
    """Reads Parquet files: `FilePartitioningStage` and `ParquetReaderStage`."""

    STAGE: ClassVar[type[BaseReader]] = ParquetReaderStage

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    fields: list[str] | None = None
    read_kwargs: dict[str, Any] | None = None
    file_extensions: list[str] = field(default_factory=lambda: [".parquet"])
    task_type: str = "document"
    _generate_ids: bool = False
    _assign_ids: bool = False
    name: str = "parquet_reader"
    allow_empty: bool = False
