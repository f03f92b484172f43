"""The workflow of spec.yaml: exact duplicates first, then near-duplicates among what is left."""

from __future__ import annotations

import json
import random
import sysconfig
from pathlib import Path
from typing import Any

from curator_slurm.executors.stages import (
    DocumentStatistics,
    ExactDeduplicationPipeline,
    FuzzyDeduplicationPipeline,
    JsonlWriter,
    ParquetReader,
    ParquetWriter,
    TextReader,
    summarize,
)

FOLDERS = ("asyncio", "concurrent/futures", "email", "http", "json", "logging", "multiprocessing", "unittest", "urllib")


def build(output_dir: str, most_files: int = 300, planted: int = 20, **options: Any) -> Deduplication:
    """The source files of the standard library, and planted copies of some."""
    originals = standard_library(most_files)
    copies = plant(originals, planted, Path(output_dir, "planted"))
    return Deduplication(output_dir, originals + copies, **options)


class Deduplication:
    """Two workflows, one after the other: what an executor runs is each of their pipelines."""

    def __init__(
        self,
        output_dir: str,
        files: list[str],
        files_per_partition: int = 25,
        num_bands: int = 20,
        minhashes_per_band: int = 13,
    ) -> None:
        self.output_dir = Path(output_dir)
        distinct = f"{output_dir}/distinct"
        self.exact = ExactDeduplicationPipeline(
            "exact",
            TextReader(files, files_per_partition, file_extensions=[".py", ".txt"], read_kwargs={"errors": "replace"}),
            [DocumentStatistics(), ParquetWriter(distinct)],
            work_dir=output_dir,
        )
        self.fuzzy = FuzzyDeduplicationPipeline(
            "fuzzy",
            ParquetReader(distinct, files_per_partition=1),
            [DocumentStatistics(), JsonlWriter(f"{output_dir}/unique")],
            work_dir=output_dir,
            num_bands=num_bands,
            minhashes_per_band=minhashes_per_band,
        )

    def run(self, executor: Any) -> list[Any]:
        """Both; the tasks that wrote what is left."""
        exact = summarize(self.exact.run(executor) or [])
        tasks = self.fuzzy.run(executor) or []
        fuzzy = summarize(tasks)
        report = {
            "documents": exact["documents_read"],
            "exact_duplicates": exact["documents_dropped"],
            "near_duplicates": fuzzy["documents_dropped"],
            "unique": fuzzy["documents_kept"],
        }
        (self.output_dir / "duplicates.json").write_text(json.dumps(report, indent=2) + "\n")
        print(json.dumps(report), flush=True)
        return tasks


def standard_library(most: int) -> list[str]:
    """Modules of the standard library that are neither tiny nor huge."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(library.glob("*.py")) + [
        file for folder in FOLDERS for file in sorted(library.glob(f"{folder}/*.py"))
    ]
    return [str(path) for path in files if 4_000 < path.stat().st_size < 40_000][:most]


def plant(originals: list[str], count: int, folder: Path) -> list[str]:
    """Copies of `count` files as they are, and of `count` others with a line added and a few words changed."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = random.Random(3).sample(originals, min(2 * count, len(originals)))
    made = []
    for number, original in enumerate(chosen):
        text = Path(original).read_bytes().decode("utf-8", "replace")
        near = number >= count
        if near:
            text = f"# Copied by hand, with small changes: number {number}.\n" + text.replace(
                " return ", " RETURN  ", 2
            )
        path = folder / f"{'near' if near else 'exact'}-{number:03}.txt"
        path.write_text(text, encoding="utf-8", newline="")
        made.append(str(path))
    return made
