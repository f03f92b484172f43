"""Writes Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

from curator_slurm.executors.stages.columns import table_of
from curator_slurm.executors.stages.io.pandas_options import keywords
from curator_slurm.executors.stages.io.writer import BaseWriter


@dataclass
class ParquetWriter(BaseWriter):
    """Writes batches as Parquet (Snappy where `compression` in `write_kwargs` does not say otherwise).

    `write_kwargs` are the arguments of `pandas.DataFrame.to_parquet` with the engine `pyarrow`, those of
    `pyarrow.parquet.write_table` among them.
    """

    file_extension: str = "parquet"
    name: str = "parquet_writer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.write_kwargs.get("engine", "auto") not in ("auto", "pyarrow"):
            raise ValueError("ParquetWriter: engine must be pyarrow")
        if self.write_kwargs.get("index"):
            raise ValueError("ParquetWriter: the index is not written; make it a column")
        if self.write_kwargs.get("partition_cols"):
            raise ValueError("ParquetWriter: partition_cols is not supported: each batch is one file")

    def known_write_kwargs(self) -> list[str]:
        import pyarrow.parquet as pq

        of_engine = [name for name in keywords(pq.write_table) if name not in ("where", "filesystem")]
        return ["engine", "index", "partition_cols", *of_engine]

    def write_rows(self, data: Any, sink: IO[bytes]) -> None:
        """Write the rows; the same rows give the same bytes."""
        import pyarrow.parquet as pq

        own = ("storage_options", "engine", "index", "partition_cols")
        options = {key: value for key, value in self.write_kwargs.items() if key not in own}
        pq.write_table(table_of(data), sink, **options)
