"""The pipeline of quickstart.yaml: curates the source files of Python's standard library.

Every machine has this text, and it has what curation is about: near-empty files, tables of numbers, copies, and
files that are not UTF-8.
"""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path
from typing import Any

from curator_slurm.executors.stages import (
    CommonEnglishWordsFilter,
    DocumentStatistics,
    ExactDeduplicationPipeline,
    JsonlWriter,
    MeanWordLengthFilter,
    MultiWriter,
    NumbersFilter,
    ParquetWriter,
    RepeatedLinesFilter,
    ScoreFilter,
    TextReader,
    WordCountFilter,
    summarize,
)

NOT_OF_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}


def build(output_dir: str, files_per_partition: int = 50) -> Quickstart:
    """Read, drop exact duplicates and what has little quality, count, and write Parquet and JSONL."""
    return Quickstart(output_dir, files_per_partition)


class Quickstart(ExactDeduplicationPipeline):
    """The pipeline; at its end it writes statistics.json and prints what became of the documents."""

    def __init__(self, output_dir: str, files_per_partition: int) -> None:
        self.output_dir = Path(output_dir)
        super().__init__(
            name="quickstart",
            reader=TextReader(
                file_paths=standard_library(),
                files_per_partition=files_per_partition,
                file_extensions=[".py"],
                read_kwargs={"errors": "replace"},
            ),
            stages=[
                ScoreFilter(
                    [
                        WordCountFilter(min_words=50),
                        MeanWordLengthFilter(min_mean_word_length=3, max_mean_word_length=12),
                        NumbersFilter(max_number_to_text_ratio=0.15),
                        RepeatedLinesFilter(max_repeated_line_fraction=0.7),
                        CommonEnglishWordsFilter(min_num_common_words=2),
                    ],
                    score_field=["words", None, None, None, None],
                ).with_(name="quality_filters"),
                DocumentStatistics(),
                MultiWriter([ParquetWriter(f"{output_dir}/parquet"), JsonlWriter(f"{output_dir}/jsonl")]),
            ],
            work_dir=output_dir,
        )

    def run(self, executor: Any = None, *arguments: Any, **options: Any) -> list[Any] | None:
        tasks = super().run(executor, *arguments, **options)
        statistics = summarize(tasks)
        path = self.output_dir / "statistics.json"
        path.write_text(json.dumps(statistics, indent=2) + "\n")
        print(report(statistics), flush=True)
        return tasks


def standard_library() -> list[str]:
    """The source files of this Python's standard library, without installed packages."""
    files = []
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = sorted(set(folders) - NOT_OF_THE_LIBRARY)
        files += [f"{folder}/{name}" for name in sorted(names) if name.endswith(".py")]
    return files


def report(statistics: dict[str, Any]) -> str:
    """What was read, dropped and kept, as text."""
    rows = [
        ("documents read", statistics["documents_read"]),
        *((f"- dropped: {reason}", count) for reason, count in statistics["dropped_by"].items()),
        ("documents kept", statistics["documents_kept"]),
        ("words kept", statistics["kept"]["words"]),
        ("bytes of text kept", statistics["kept"]["bytes"]),
    ]
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {count:>12,}" for label, count in rows]
    return "\n".join(
        [
            "",
            "Python's standard library, curated:",
            *lines,
            "In the outputs of the run: parquet/, jsonl/, statistics.json, duplicates.parquet",
            "",
        ]
    )
