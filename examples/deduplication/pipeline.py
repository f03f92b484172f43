"""The workflow of spec.yaml: equal documents are dropped, then poor ones, then similar ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import documents
import pandas as pd
import pyarrow.dataset as dataset

from curator_slurm.executors.stages import (
    ExactDeduplicationPipeline,
    FuzzyDeduplicationPipeline,
    JsonlWriter,
    ParquetReader,
    ParquetWriter,
    ScoreFilter,
    TextReader,
    TextReaderStage,
    summarize,
)


class DocumentReaderStage(TextReaderStage):
    """Reads files, and makes documents of them."""

    def read_data(self, paths: list[str], read_kwargs: Any = None, fields: Any = None) -> pd.DataFrame:
        files = super().read_data(paths, read_kwargs, fields)
        return pd.DataFrame([document for file in files.to_dict("records") for document in documents.split(file)])


class DocumentReader(TextReader):
    """Finds files, and reads documents from them."""

    STAGE = DocumentReaderStage


class Curation:
    """Two workflows, one after the other: what an executor runs is each of their pipelines."""

    def __init__(
        self,
        output_dir: str,
        packages: list[str],
        files_of_each: int,
        debian: bool,
        normalize_text: list[str],
        quality: list[dict[str, Any]],
        jaccard_threshold: float,
        num_bands: int = 20,
        minhashes_per_band: int = 13,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.distinct = f"{output_dir}/distinct"
        files = documents.files(packages, files_of_each, debian)
        self.exact = ExactDeduplicationPipeline(
            "exact",
            DocumentReader(
                files,
                files_per_partition=max(1, len(files) // 8),
                file_extensions=[],  # whatever their names end with
                read_kwargs={"errors": "replace"},
            ),
            [ScoreFilter(quality, name="quality"), ParquetWriter(self.distinct)],
            work_dir=output_dir,
            normalize_text=normalize_text,
        )
        self.fuzzy = FuzzyDeduplicationPipeline(
            "fuzzy",
            ParquetReader(self.distinct, files_per_partition=1),
            [JsonlWriter(f"{output_dir}/unique")],
            work_dir=output_dir,
            num_bands=num_bands,
            minhashes_per_band=minhashes_per_band,
            jaccard_threshold=jaccard_threshold,
        )

    def run(self, executor: Any) -> list[Any]:
        """Both; the tasks that wrote what is left."""
        quality = summarize(self.exact.run(executor))["dropped_by"]
        duplicates = quality.pop("duplicate", 0)
        distinct = dataset.dataset(self.distinct).count_rows()
        tasks = self.fuzzy.run(executor) or []
        similar = summarize(tasks)["documents_dropped"]
        report = {
            "documents": duplicates + sum(quality.values()) + distinct,
            "exact_duplicates": duplicates,
            "low_quality": sum(quality.values()),
            "near_duplicates": similar,
            "unique": distinct - similar,
            "dropped_by": quality,
        }
        (self.output_dir / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report), flush=True)
        return tasks
