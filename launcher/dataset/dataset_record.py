"""What describes a published dataset: `_dataset.json`, the list of its files, and the tasks that failed.

Their names begin with an underscore: readers of datasets pass over such files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.files import read_jsonl, write_json
from curator_slurm.launcher.ranges import format_numbers
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.published import FAILURES, FILES, SUMMARY
from curator_slurm.launcher.runs.shard_records import DoneRecord


@dataclass(frozen=True)
class DatasetFile:
    """A file of the dataset; `shards` has more than one number where it was merged."""

    path: str
    bytes: int
    rows: int | None
    shards: str
    attempt: str | None = None
    sha256: str | None = None

    def to_line(self) -> str:
        fields = {key: value for key, value in vars(self).items() if value is not None}
        return json.dumps(fields, ensure_ascii=False)


def files_of(folder_name: str, record: DoneRecord) -> Iterator[DatasetFile]:
    """The files of one shard, as they are below its folder."""
    for file in record.files:
        yield DatasetFile(
            f"{folder_name}/{file.path}", file.bytes, file.rows, str(record.shard), record.attempt, file.sha256
        )


def write_description(
    run: RunPaths,
    target: Path,
    *,
    name: str,
    total: int,
    records: Mapping[int, DoneRecord],
    files: Iterable[DatasetFile],
    merged: bool,
) -> dict[str, Any]:
    """Write the three files into `target`, the summary last; its content."""
    remove_temporary(target)
    listed = list(files)
    write_atomic(target / FILES, "".join(f"{file.to_line()}\n" for file in listed))
    failures = [json.dumps(task, ensure_ascii=False) for task in failed_tasks(run, records)]
    if failures:
        write_atomic(target / FAILURES, "".join(f"{line}\n" for line in failures))
    else:
        (target / FAILURES).unlink(missing_ok=True)
    rows = [file.rows for file in listed]
    missing = [shard for shard in range(total) if shard not in records]
    summary = {
        "schema": 1,
        "name": name,
        "run_id": run.run_id,
        "complete": not missing,
        "collected": time.time(),
        "version": __version__,
        "shards": {"total": total, "published": len(records), "missing": format_numbers(missing)},
        "files": len(listed),
        "rows": None if None in rows else sum(row or 0 for row in rows),
        "bytes": sum(file.bytes for file in listed),
        "input_files": sum(record.input_files for record in records.values()),
        "input_bytes": sum(record.input_bytes for record in records.values()),
        "tasks_failed": sum(record.tasks_failed for record in records.values()),
        "rows_failed": sum(record.rows_failed for record in records.values()),
        "merged": merged,
        "file_list": FILES,
        "failures": FAILURES if failures else None,
    }
    write_json(target / SUMMARY, summary)
    return summary


def remove_temporary(folder: Path) -> None:
    """Remove what a writer that was killed has left beside the files it was writing."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def failed_tasks(run: RunPaths, records: Mapping[int, DoneRecord]) -> Iterator[dict[str, Any]]:
    """The tasks that failed in the attempts whose outputs count."""
    for shard, record in records.items():
        if not record.tasks_failed and not record.rows_failed:
            continue
        for task in read_jsonl(run.attempt(shard, record.attempt).failures):
            if isinstance(task, dict):
                yield {"shard": shard, "attempt": record.attempt, **task}
