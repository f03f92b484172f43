"""Reads the lines of metrics.jsonl; whatever a line lacks, or has of another type, is None."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curator_slurm.common.json_fields import moment, number, whole
from curator_slurm.common.measurements import NodeSample, StageSample, StoreSample
from curator_slurm.launcher.files import read_jsonl

_MOST_BYTES = 16 << 20
_NODE_FLOATS = ("cpus_job", "cpus_node", "disk_read", "disk_written", "net_in", "net_out", "power", "gpu_power")
_NODE_COUNTS = ("memory_job", "memory_node", "shm", "disk_free", "gpu_memory")
_STAGE_COUNTS = (
    "tasks_in", "tasks_out", "tasks_filtered", "tasks_failed", "items_in", "items_out", "items_failed", "rows_failed",
    "bytes_in", "bytes_out", "queued", "workers",
)  # fmt: skip
_STORE_COUNTS = ("store_used", "store_capacity", "store_spilled", "store_restored")


def node_samples(path: Path) -> list[NodeSample]:
    """Those of a node, in order."""
    return [sample for line in _objects(path) if (sample := _node(line)) is not None]


def driver_samples(path: Path) -> tuple[list[StageSample], list[StoreSample]]:
    """Those of a driver: of its stages, and of the object store."""
    stages, stores = [], []
    for line in _objects(path):
        if (at := moment(line.get("time"))) is None:
            continue
        if isinstance(line.get("stage"), str):
            stages.append(_stage(line, at))
        else:
            stores.append(StoreSample(time=at, **{name: whole(line.get(name)) for name in _STORE_COUNTS}))
    return stages, stores


def _objects(path: Path) -> Iterator[Mapping[str, Any]]:
    return (line for line in read_jsonl(path, _MOST_BYTES) if isinstance(line, dict))


def _node(line: Mapping[str, Any]) -> NodeSample | None:
    at, seconds = moment(line.get("time")), number(line.get("seconds"))
    if at is None or seconds is None or seconds <= 0:
        return None
    gpus = line.get("gpus")
    busy = [number(each) for each in gpus] if isinstance(gpus, list) else []
    rates: dict[str, Any] = {name: number(line.get(name)) for name in _NODE_FLOATS}
    counts: dict[str, Any] = {name: whole(line.get(name)) for name in _NODE_COUNTS}
    return NodeSample(
        time=at,
        node=str(line.get("node") or "?"),
        seconds=seconds,
        gpus=tuple(each for each in busy if each is not None) or None,
        **rates,
        **counts,
    )


def _stage(line: Mapping[str, Any], at: float) -> StageSample:
    histogram = line.get("task_seconds")
    counts = {str(key): whole(value) for key, value in histogram.items()} if isinstance(histogram, dict) else None
    return StageSample(
        time=at,
        pipeline=str(line.get("pipeline") or ""),
        stage=line["stage"],
        position=whole(line.get("position")) or 0,
        busy_s=number(line.get("busy_s")),
        task_seconds={key: count for key, count in counts.items() if count} if counts is not None else None,
        **{name: whole(line.get(name)) for name in _STAGE_COUNTS},
    )
