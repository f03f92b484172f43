"""What is measured of nodes and stages while a run goes on: the lines of metrics.jsonl, and how often one is written.

Agents write those of their nodes, drivers those of their stages; docs/measurements.md says what each field means. A
field that is not known is not in a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

SHORTEST_S = 2.0
"""Between two lines, at the beginning."""
LONGEST_LOOK_S = 10.0
"""Between two readings; a line has the mean or the most of several, where it covers more time."""
_SHARE = 200
"""A line covers no less than this part of the time so far: after the first minutes, their number grows with the
logarithm of the time, to 1,300 in a day and 1,700 in a week."""


@dataclass(frozen=True, kw_only=True)
class NodeSample:
    """A node in the `seconds` before `time`; `job` is what belongs to our job there, whatever else runs on the node."""

    time: float
    node: str
    seconds: float
    cpus_job: float | None = None
    """CPUs that the job kept busy, on average."""
    cpus_node: float | None = None
    """CPUs that all of the node kept busy, on average."""
    memory_job: int | None = None
    """Bytes of memory of the job, without files that the kernel can drop: the most of the interval."""
    memory_node: int | None = None
    """Bytes that are not available on the node: the most of the interval."""
    shm: int | None = None
    """Bytes in /dev/shm, where Ray's object store is: the most of the interval."""
    disk_free: int | None = None
    """Bytes free in the node-local folder: the least of the interval."""
    disk_read: float | None = None
    """Bytes that the node read from its disks in a second."""
    disk_written: float | None = None
    """Bytes that it wrote."""
    net_in: float | None = None
    """Bytes that came in a second over the interface that Ray uses."""
    net_out: float | None = None
    """Bytes that went out."""
    power: float | None = None
    """Watts of the processors (RAPL), where the kernel lets us read them."""
    gpus: tuple[float, ...] | None = None
    """Share of the time that each GPU of the job was busy, 0 to 1."""
    gpu_memory: int | None = None
    """Bytes in use on all of them: the most of the interval."""
    gpu_power: float | None = None
    """Watts of all of them."""


@dataclass(frozen=True, kw_only=True)
class StageCounts:
    """Figures of a stage, in measurements and in progress.json: counts since its pipeline began, and how it is now."""

    tasks_in: int | None = None
    tasks_out: int | None = None
    tasks_filtered: int | None = None
    tasks_failed: int | None = None
    items_in: int | None = None
    items_out: int | None = None
    items_failed: int | None = None
    rows_failed: int | None = None
    bytes_in: int | None = None
    """About how many bytes its tasks took, and what it made of them, also for work that ran again:"""
    bytes_out: int | None = None
    busy_s: float | None = None
    """Seconds that all workers together were at work on tasks."""
    queued: int | None = None
    """Tasks that wait for it at this moment."""
    workers: int | None = None
    """Its workers at this moment."""


@dataclass(frozen=True, kw_only=True)
class StageMoment:
    """Which stage of which pipeline, and when."""

    time: float
    pipeline: str
    stage: str
    position: int


@dataclass(frozen=True, kw_only=True)
class StageSample(StageCounts, StageMoment):
    """A stage at a moment; the moment comes first in a line."""

    task_seconds: Mapping[str, int] | None = None
    """How many tasks took up to so many seconds each; in the last line of a stage alone."""


@dataclass(frozen=True, kw_only=True)
class StoreSample:
    """Ray's object store at a moment, over all nodes; in the files of drivers, as a line without a stage."""

    time: float
    store_used: int | None = None
    store_capacity: int | None = None
    store_spilled: int | None = None
    """Bytes that went to disk since Ray started."""
    store_restored: int | None = None
    """Bytes that came back."""


def line_of(sample: NodeSample | StageSample | StoreSample) -> dict[str, Any]:
    """What is known, as it is written."""
    values = ((each.name, getattr(sample, each.name)) for each in fields(sample))
    return {name: _short(value) for name, value in values if value is not None}


def _short(value: Any) -> Any:
    """No more digits than a figure deserves."""
    if isinstance(value, float):
        return round(value, 3 if abs(value) < 1e6 else 0) if value < 1e9 else round(value, 2)
    return [_short(each) for each in value] if isinstance(value, tuple) else value


def interval_s(elapsed_s: float, reading_s: float = 0.0) -> float:
    """Seconds that the next line shall cover, so long after the first; a reading that takes long comes rarely."""
    return max(SHORTEST_S, elapsed_s / _SHARE, reading_s * _SHARE)


def pause_s(elapsed_s: float, reading_s: float = 0.0) -> float:
    """Seconds to the next reading: half a percent of a processor goes into readings at most."""
    return max(min(interval_s(elapsed_s), LONGEST_LOOK_S), reading_s * _SHARE)
