"""Everything that was measured of a run as one Parquet file: the only module of reports that loads Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import replaced
from curator_slurm.common.measurements import NodeSample, StageSample, StoreSample
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.report.samples import driver_samples, node_samples
from curator_slurm.launcher.runs.registry import Run

_ROWS = 100_000
_TEXTS = ("element", "kind", "node", "pipeline", "stage")
_WHOLE = ("shard", "position")


def export_measurements(run: Run, path: Path) -> int:
    """Write a row for each line of all nodes and drivers; the number of rows.

    Raises:
        UsageError: nothing was measured.
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field(name, _type(pa, name)) for name in columns()])
    count = 0
    with replaced(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for rows in _chunks(rows_of(run)):
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
        if not count:
            raise UsageError(f"nothing was measured of run {run.run_id}: no file metrics.jsonl has a line")
    return count


def columns() -> list[str]:
    """`element` is the job and its start, `kind` node, stage or store; then the fields of all lines."""
    names = ["element", "kind", "shard"]
    for kind in (NodeSample, StageSample, StoreSample):
        names += [each.name for each in fields(kind) if each.name not in names]
    return names


def _type(pa: Any, name: str) -> Any:
    if name in _TEXTS:
        return pa.string()
    if name == "gpus":
        return pa.list_(pa.float64())
    if name == "task_seconds":
        return pa.map_(pa.string(), pa.int64())
    return pa.int32() if name in _WHOLE else pa.float64()


def rows_of(run: Run) -> Iterator[dict[str, Any]]:
    """All lines, file by file."""
    for cluster in run.paths.existing_elements():
        for node in cluster.existing_nodes():
            for sample in node_samples(node.metrics):
                yield _row(sample, cluster.name, "node", None)
    for attempt in run.paths.existing_attempts():
        stages, stores = driver_samples(attempt.metrics)
        yield from (_row(sample, attempt.name, "stage", attempt.shard) for sample in stages)
        yield from (_row(sample, attempt.name, "store", attempt.shard) for sample in stores)


def _row(sample: Any, element: str, kind: str, shard: int | None) -> dict[str, Any]:
    values = {each.name: getattr(sample, each.name) for each in fields(sample)}
    if values.get("task_seconds") is not None:
        values["task_seconds"] = list(values["task_seconds"].items())
    return {"element": element, "kind": kind, "shard": shard, **values}


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) >= _ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
