"""Stages and nodes over time: series of a bounded length from the lines that were measured. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curator_slurm.common.measurements import NodeSample, StageSample
from curator_slurm.launcher.report.gather_report import DriverRecord, JobRecord, NodeRecord, Records
from curator_slurm.launcher.report.report_model import Measured, NodeSeries, StageSeries

MOST_POINTS = 240
"""Of one series; there are as many bins in a picture."""


def measured_of(records: Records) -> Measured:
    """All series."""
    return Measured(
        stages=tuple(stage_series(records.drivers)),
        nodes=tuple(node_series(job, node) for job in records.jobs for node in job.nodes if node.samples),
        omitted=records.omitted_measurements,
    )


# Nodes


def node_series(job: JobRecord, node: NodeRecord) -> NodeSeries:
    """A node, with neighbouring lines put together where there are many."""
    cpus, gpus = allotted(node, "cpus"), node.status.get("gpus")
    parts = list(_parts(node.samples, MOST_POINTS))
    return NodeSeries(
        node=node.name,
        element=job.name,
        times=tuple(part[-1].time for part in parts),
        cpus=tuple(_share(mean_of(part, "cpus_job"), cpus) for part in parts),
        memory=tuple(_most(part, "memory_job") for part in parts),
        gpus=tuple(busy_gpus(part) for part in parts) if gpus or any(each.gpus for each in node.samples) else (),
        shm=tuple(_most(part, "shm") for part in parts),
        network=tuple(_sum(mean_of(part, "net_in"), mean_of(part, "net_out")) for part in parts),
    )


def allotted(node: NodeRecord, what: str) -> int | None:
    """CPUs, GPUs, or bytes of memory that the job has on a node; None where its status does not say."""
    value = node.status.get(what)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def mean_of(samples: Sequence[NodeSample], name: str) -> float | None:
    """The mean of a rate over the time of these lines."""
    known = [(getattr(each, name), each.seconds) for each in samples if getattr(each, name) is not None]
    seconds = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / seconds if seconds else None


def busy_gpus(samples: Sequence[NodeSample]) -> float | None:
    """The share of the time in which the GPUs were busy, on average."""
    known = [(sum(each.gpus) / len(each.gpus), each.seconds) for each in samples if each.gpus]
    seconds = sum(weight for _, weight in known)
    return round(sum(value * weight for value, weight in known) / seconds, 4) if seconds else None


def _most(samples: Sequence[NodeSample], name: str) -> int | None:
    return max((value for each in samples if (value := getattr(each, name)) is not None), default=None)


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 1) if known else None


def _share(value: float | None, of: int | None) -> float | None:
    return None if value is None else round(value / of if of else value, 4)


def _parts(samples: Sequence[Any], count: int) -> Iterable[Sequence[Any]]:
    """At most so many runs of neighbours."""
    step = -(-len(samples) // count) or 1
    return (samples[start : start + step] for start in range(0, len(samples), step))


# Stages


def stage_series(drivers: Sequence[DriverRecord]) -> list[StageSeries]:
    """Every stage over all attempts: bins of time, in which the work of all drivers adds up."""
    lines = [(number, sample) for number, driver in enumerate(drivers) for sample in driver.stages]
    if not lines:
        return []
    first = min(sample.time for _, sample in lines)
    last = max(sample.time for _, sample in lines)
    pipelines = list(dict.fromkeys(sample.pipeline for _, sample in lines))
    by_stage: dict[tuple[int, int, str], dict[int, list[StageSample]]] = {}
    for number, sample in lines:
        key = (pipelines.index(sample.pipeline), sample.position, sample.stage)
        by_stage.setdefault(key, {}).setdefault(number, []).append(sample)
    longest = max(len(each) for found in by_stage.values() for each in found.values())
    width = max((last - first) / min(MOST_POINTS, max(longest, 1)), 1.0)
    count = int((last - first) / width) + 1
    return [
        _series(pipelines[pipeline], stage, [*found.values()], (first, width, count))
        for (pipeline, _, stage), found in sorted(by_stage.items())
    ]


_Bins = tuple[float, float, int]


class _Sums:
    """What happened to a stage in each bin."""

    def __init__(self, count: int) -> None:
        self.tasks, self.items, self.busy, self.worker_seconds = ([0.0] * count for _ in range(4))
        self.covered = [0.0] * count
        self.queued: list[dict[int, int]] = [{} for _ in range(count)]
        self.workers: list[dict[int, int]] = [{} for _ in range(count)]


def _series(pipeline: str, stage: str, drivers: Sequence[Sequence[StageSample]], bins: _Bins) -> StageSeries:
    first, width, count = bins
    sums = _Sums(count)
    histogram: dict[str, int] = {}
    for number, samples in enumerate(drivers):
        for before, after in itertools.pairwise(samples):
            _spread(sums, before, after, bins)
        for sample in samples:
            bin_ = min(int((sample.time - first) / width), count - 1)
            if sample.queued is not None:
                sums.queued[bin_][number] = sample.queued
            if sample.workers is not None:
                sums.workers[bin_][number] = sample.workers
            for key, tasks in (sample.task_seconds or {}).items():
                histogram[key] = histogram.get(key, 0) + tasks
    used = [bin_ for bin_ in range(count) if sums.covered[bin_] > 0 or sums.queued[bin_] or sums.workers[bin_]]
    return StageSeries(
        pipeline=pipeline,
        stage=stage,
        times=tuple(round(first + (bin_ + 1) * width, 1) for bin_ in used),
        rate=tuple(_rate(sums.tasks[bin_], sums.covered[bin_], width) for bin_ in used),
        items_rate=tuple(_rate(sums.items[bin_], sums.covered[bin_], width) for bin_ in used),
        queued=tuple(_total(sums.queued[bin_]) for bin_ in used),
        workers=tuple(_total(sums.workers[bin_]) for bin_ in used),
        busy=tuple(_busy(sums.busy[bin_], sums.worker_seconds[bin_]) for bin_ in used),
        task_seconds=dict(sorted(histogram.items(), key=lambda item: float(item[0]))),
    )


def _spread(sums: _Sums, before: StageSample, after: StageSample, bins: _Bins) -> None:
    """What was done between two lines, over the bins in between, by their share of the time."""
    first, width, count = bins
    seconds = after.time - before.time
    if seconds <= 0:
        return
    tasks, items = _gain(before.tasks_in, after.tasks_in), _gain(before.items_in, after.items_in)
    busy = _gain(before.busy_s, after.busy_s)
    workers = max(before.workers or 0, after.workers or 0)
    start = before.time
    while start < after.time:
        bin_ = min(int((start - first) / width), count - 1)
        end = after.time if bin_ == count - 1 else min(after.time, first + (bin_ + 1) * width)
        if end <= start:  # less than a float can tell
            break
        share = (end - start) / seconds
        sums.tasks[bin_] += tasks * share
        sums.items[bin_] += items * share
        sums.busy[bin_] += busy * share
        sums.worker_seconds[bin_] += workers * (end - start)
        sums.covered[bin_] += end - start
        start = end


def _gain(before: float | None, after: float | None) -> float:
    """Of what counts up; work that was lost and is taken back counts for nothing."""
    return max((after or 0) - (before or 0), 0)


def _rate(done: float, covered: float, width: float) -> float | None:
    return round(done / min(covered, width), 3) if covered > 0 else None


def _total(values: Mapping[int, int]) -> int | None:
    return sum(values.values()) if values else None


def _busy(busy_s: float, worker_s: float) -> float | None:
    return round(min(busy_s / worker_s, 1.0), 3) if worker_s > 0 else None
