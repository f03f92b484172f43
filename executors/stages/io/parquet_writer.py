"""Writes Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, ClassVar

from curator_slurm.executors.stages.columns import table_of
from curator_slurm.executors.stages.io.writer import BaseWriter


@dataclass
class ParquetWriter(BaseWriter):
    """Writes batches as Parquet (Snappy where `compression` in `write_kwargs` does not say otherwise).

    `write_kwargs` are those of `pyarrow.parquet.write_table` below.
    """

    WRITE_KWARGS: ClassVar[tuple[str, ...]] = (
        "compression",
        "compression_level",
        "data_page_size",
        "engine",
        "index",
        "row_group_size",
        "use_dictionary",
        "version",
        "write_statistics",
    )

    file_extension: str = "parquet"
    name: str = "parquet_writer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.write_kwargs.get("engine", "auto") not in ("auto", "pyarrow"):
            raise ValueError("ParquetWriter: engine must be pyarrow")
        if self.write_kwargs.get("index"):
            raise ValueError("ParquetWriter: index is not written; make it a column")

    def write_data(self, data: Any, sink: IO[bytes]) -> None:
        """Write the rows; the same rows give the same bytes."""
        import pyarrow.parquet as pq

        options = {k: v for k, v in self.write_kwargs.items() if k not in ("storage_options", "engine", "index")}
        pq.write_table(table_of(data), sink, **options)
