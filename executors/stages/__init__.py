"""Ready-made stages: read, write, map, filter. Names, arguments and defaults are NeMo Curator's where it has them."""

from curator_slurm.executors.stages.documents import FilterBatches, FilterDocuments, MapBatches, MapDocuments
from curator_slurm.executors.stages.jsonl import JsonlReader, JsonlReaderStage, JsonlWriter
from curator_slurm.executors.stages.parquet import ParquetReader, ParquetReaderStage, ParquetWriter
from curator_slurm.executors.stages.partitioning import FilePartitioningStage
from curator_slurm.executors.stages.text import TextReader, TextReaderStage, TextWriter

__all__ = [
    "FilePartitioningStage",
    "FilterBatches",
    "FilterDocuments",
    "JsonlReader",
    "JsonlReaderStage",
    "JsonlWriter",
    "MapBatches",
    "MapDocuments",
    "ParquetReader",
    "ParquetReaderStage",
    "ParquetWriter",
    "TextReader",
    "TextReaderStage",
    "TextWriter",
]
