"""The pipeline of spec.yaml: reads the JSONL files of one shard, keeps what looks like text, writes Parquet."""

from __future__ import annotations

from curator_slurm.executors import Pipeline
from curator_slurm.executors.stages import (
    CommonEnglishWordsFilter,
    JsonlReader,
    ParquetWriter,
    ScoreFilter,
    WordCountFilter,
)


def build(files: list[str], output_dir: str) -> Pipeline:
    """Read, drop documents that are very short or have hardly any English in them, write."""
    pipeline = Pipeline(name="array")
    pipeline.add_stage(JsonlReader(file_paths=files, files_per_partition=2))
    pipeline.add_stage(ScoreFilter([WordCountFilter(min_words=50), CommonEnglishWordsFilter(min_num_common_words=2)]))
    pipeline.add_stage(ParquetWriter(path=output_dir))
    return pipeline
