"""Reads Parquet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.stages.columns import frame_of_table
from curator_slurm.executors.stages.io.pandas_options import keywords, needs_pandas, read_frames
from curator_slurm.executors.stages.io.reader import BaseReader, CompositeReader, named, with_fields
from curator_slurm.executors.stages.io.storage import open_to_read

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass
class ParquetReaderStage(BaseReader):
    """Reads groups of Parquet files; columns keep their Arrow types.

    Where the files of a group differ, a column that one of them lacks is null there, and numbers take the wider type.
    `read_kwargs`: `storage_options`, `missing_fields`, `columns` (the same as `fields`), `filters`, and the other
    arguments of `pandas.read_parquet`, its `engine`'s among them. Where one of those asks for something else than the
    above (`dtype_backend`, `engine="fastparquet"`, `use_pandas_metadata`...), pandas reads the files, with `pyarrow` as
    the default of `engine` and `dtype_backend`.
    """

    name: str = "parquet_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fields is None and self.read_kwargs.get("columns") is not None:
            self.fields = list(self.read_kwargs["columns"])

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
        import pyarrow as pa

        options = dict(read_kwargs or {})
        if needs_pandas(options, _ARROW):
            return _read_with_pandas(paths, options, fields)
        tables = [self._read(path, options, fields) for path in paths]
        tables = [table for table in tables if table.num_rows] or tables[:1]
        try:
            table = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException as error:
            raise ValueError(f"cannot combine the columns of {named(paths)}: {error}") from error
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


_ARROW: dict[str, tuple[Any, ...] | None] = {
    "storage_options": None,
    "missing_fields": None,
    "columns": None,
    "filters": None,
    "engine": ("auto", "pyarrow"),
    "dtype_backend": ("pyarrow",),
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
