"""The workflow of spec.yaml: documents are gathered, equal ones dropped, poor ones dropped, similar ones dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import documents

from curator_slurm.executors import Pipeline
from curator_slurm.executors.stages import (
    DocumentStatistics,
    ExactDeduplicationPipeline,
    FuzzyDeduplicationPipeline,
    JsonlWriter,
    MapStage,
    ParquetReader,
    ParquetWriter,
    ScoreFilter,
    TextReader,
    summarize,
)


class Curation:
    """Three workflows, one after the other: what an executor runs is each of their pipelines."""

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
        gathered, distinct = f"{output_dir}/gathered", f"{output_dir}/distinct"
        files = documents.files(packages, files_of_each, debian)
        self.gather = Pipeline(
            "gather",
            stages=[
                TextReader(
                    files,
                    files_per_partition=max(1, len(files) // 8),
                    file_extensions=[],  # whatever their names end with
                    read_kwargs={"errors": "replace"},
                ),
                MapStage(documents.split, name="split"),
                DocumentStatistics(),
                ParquetWriter(gathered),
            ],
        )
        self.exact = ExactDeduplicationPipeline(
            "exact",
            ParquetReader(gathered, files_per_partition=1),
            [ScoreFilter(quality, name="quality"), DocumentStatistics(), ParquetWriter(distinct)],
            work_dir=output_dir,
            normalize_text=normalize_text,
        )
        self.fuzzy = FuzzyDeduplicationPipeline(
            "fuzzy",
            ParquetReader(distinct, files_per_partition=1),
            [DocumentStatistics(), JsonlWriter(f"{output_dir}/unique")],
            work_dir=output_dir,
            num_bands=num_bands,
            minhashes_per_band=minhashes_per_band,
            jaccard_threshold=jaccard_threshold,
        )

    def run(self, executor: Any) -> list[Any]:
        """All three; the tasks that wrote what is left."""
        gathered = summarize(self.gather.run(executor))
        exact = summarize(self.exact.run(executor))
        tasks = self.fuzzy.run(executor) or []
        fuzzy = summarize(tasks)
        quality = dict(exact["dropped_by"])
        report = {
            "documents": gathered["documents_kept"],
            "exact_duplicates": quality.pop("duplicate", 0),
            "low_quality": sum(quality.values()),
            "near_duplicates": fuzzy["documents_dropped"],
            "unique": fuzzy["documents_kept"],
            "dropped_by": quality,
        }
        (self.output_dir / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report), flush=True)
        return tasks
