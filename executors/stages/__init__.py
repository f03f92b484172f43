"""Stages that come with curator-slurm: files in, files out, and what curation does in between.

Names and arguments are NeMo Curator's where it has such a stage. Importing this package imports neither pandas,
Arrow nor Ray.
"""

from curator_slurm.executors.stages.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.jsonl_reader import JsonlReader, JsonlReaderStage
from curator_slurm.executors.stages.jsonl_writer import JsonlWriter
from curator_slurm.executors.stages.multi_writer import MultiWriter
from curator_slurm.executors.stages.parquet_reader import ParquetReader, ParquetReaderStage
from curator_slurm.executors.stages.parquet_writer import ParquetWriter
from curator_slurm.executors.stages.text_reader import TextReader, TextReaderStage
from curator_slurm.executors.stages.text_writer import TextWriter

__all__ = [
    "FilePartitioningStage",
    "JsonlReader",
    "JsonlReaderStage",
    "JsonlWriter",
    "MultiWriter",
    "ParquetReader",
    "ParquetReaderStage",
    "ParquetWriter",
    "TextReader",
    "TextReaderStage",
    "TextWriter",
]
