"""Parquet files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from curator_slurm.executors.stages._reading import BaseFileReader, FileReader
from curator_slurm.executors.stages._writing import BaseWriter
from curator_slurm.executors.tasks import DocumentBatch


@dataclass
class ParquetReaderStage(BaseFileReader):
    """Reads with pandas, into Arrow-backed columns unless `read_kwargs` says otherwise."""

    name: str = "parquet_reader"

    def read_file(self, path: str) -> pd.DataFrame:
        kwargs: dict[str, Any] = {"engine": "pyarrow", "dtype_backend": "pyarrow", **self.read_kwargs}
        if self.fields is not None:
            kwargs["columns"] = self.fields
        try:
            return pd.read_parquet(path, **kwargs)
        except (ValueError, KeyError) as error:  # ArrowInvalid is a ValueError
            raise ValueError(f"{path}: {error}") from error


@dataclass
class ParquetReader(FileReader):
    """Reads Parquet: groups the files, then reads each group into one batch of documents."""

    name: str = "parquet_reader"
    default_extensions: ClassVar[list[str]] = [".parquet"]

    def reader(self) -> ParquetReaderStage:
        return ParquetReaderStage(fields=self.fields, read_kwargs=self.read_kwargs or {})


@dataclass
class ParquetWriter(BaseWriter):
    """Writes with pandas; `write_kwargs` are those of `DataFrame.to_parquet`."""

    file_extension: str = "parquet"
    write_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "parquet_writer"

    def write_file(self, task: DocumentBatch, path: str) -> None:
        frame = task.to_pandas()
        if self.fields is not None:
            frame = frame[self.fields]
        kwargs = {key: value for key, value in self.write_kwargs.items() if key != "storage_options"}
        frame.to_parquet(path, **{"index": False, **kwargs})
