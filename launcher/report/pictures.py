"""The data of a report's pictures, as the page's script draws them: short lists of numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curator_slurm.launcher.report.page_tables import bucket_label
from curator_slurm.launcher.report.report_model import FunnelStage, NodeSeries, RunReport, ShardBar, Span, StageSeries
from curator_slurm.launcher.report.stage_labels import stage_labels
from curator_slurm.launcher.report.time_spent import ORDER

MOST_CELLS = 12_000
MOST_SPANS = 5_000
_FEWEST_BINS, _MOST_BINS = 24, 240
_SHARD_KINDS = ("done", "at work", "failed or cancelled")

Picture = dict[str, Any]


def funnel_picture(stages: Sequence[FunnelStage]) -> Picture | None:
    """Kept, dropped and failed items of each stage that returns what it takes; tasks where no stage does."""
    items = [stage for stage in stages if stage.drops_items and stage.items_in]
    chosen = items or [stage for stage in stages if stage.tasks_in]
    if not chosen:
        return None
    labels = dict(zip(map(id, stages), stage_labels(stages), strict=True))
    kept = [
        stage.items_out if items else stage.tasks_in - stage.tasks_filtered - stage.tasks_failed for stage in chosen
    ]
    failed = [stage.items_failed + stage.rows_failed if items else stage.tasks_failed for stage in chosen]
    return {
        "kind": "bars",
        "unit": "items" if items else "tasks",
        "rows": [labels[id(stage)] for stage in chosen],
        "series": [
            {"name": "kept", "values": kept},
            {"name": "dropped", "values": [stage.dropped for stage in chosen]},
            {"name": "failed", "values": failed},
        ],
    }


def timeline_picture(spans: Sequence[Span]) -> Picture | None:
    """A row for each node of each job, and for each wait in the queue."""
    if not spans:
        return None
    begin, end = min(span.start for span in spans), max(span.end for span in spans)
    shortest = 0.0
    chosen = list(spans)
    while len(chosen) > MOST_SPANS:
        shortest = max(shortest * 2, (end - begin) / 2000)
        chosen = [span for span in chosen if span.end - span.start >= shortest]
    jobs = len({span.element for span in chosen}) > 1
    names = [span.row if span.row.startswith("queue") or not jobs else f"{span.row}, {span.element}" for span in chosen]
    rows = list(dict.fromkeys(names))
    kinds = [what for what in ORDER if any(span.what == what for span in chosen)]
    places = {row: number for number, row in enumerate(rows)}
    return {
        "kind": "spans",
        "rows": rows,
        "kinds": kinds,
        "start": round(begin, 3),
        "spans": [
            [places[name], kinds.index(span.what), round(span.start - begin, 2), round(span.end - begin, 2)]
            for name, span in zip(names, chosen, strict=True)
        ],
    }


def stage_pictures(stages: Sequence[StageSeries]) -> dict[str, Picture]:
    """Lines over time: rates, queues, workers, and how busy these are; what is known of any stage."""
    names = {"rate": "tasks/s", "queued": "tasks", "workers": "workers", "busy": "share"}
    return {
        name: {
            "kind": "lines",
            "unit": unit,
            "start": min(each.times[0] for each in stages if each.times),
            "series": [
                {
                    "name": label,
                    "points": [
                        [round(at - min(one.times[0] for one in stages if one.times), 1), value]
                        for at, value in zip(each.times, getattr(each, name), strict=True)
                    ],
                }
                for label, each in zip(stage_labels(stages), stages, strict=True)
            ],
        }
        for name, unit in names.items()
        if any(value is not None for each in stages for value in getattr(each, name))
    }


def task_time_picture(stages: Sequence[StageSeries]) -> Picture | None:
    """How many tasks took how long, as columns for each stage."""
    keys = sorted({key for each in stages for key in each.task_seconds}, key=float)
    if not keys:
        return None
    return {
        "kind": "columns",
        "unit": "tasks",
        "columns": [bucket_label(key) for key in keys],
        "series": [
            {"name": label, "values": [each.task_seconds.get(key, 0) for key in keys]}
            for label, each in zip(stage_labels(stages), stages, strict=True)
            if each.task_seconds
        ],
    }


def node_picture(nodes: Sequence[NodeSeries]) -> Picture | None:
    """Nodes by time, for each of several figures."""
    chosen = [each for each in nodes if each.times]
    if not chosen:
        return None
    begin, end = min(each.times[0] for each in chosen), max(each.times[-1] for each in chosen)
    longest = max(len(each.times) for each in chosen)
    count = min(max(MOST_CELLS // len(chosen), _FEWEST_BINS), _MOST_BINS, max(longest, 1))
    width = max((end - begin) / count, 1e-3)
    jobs = len({each.element for each in chosen}) > 1
    figures = (
        ("cpus", "CPUs busy", "share"),
        ("memory", "memory of the job", "bytes"),
        ("gpus", "GPUs busy", "share"),
        ("shm", "/dev/shm", "bytes"),
        ("network", "network", "bytes/s"),
    )
    found = []
    for name, label, unit in figures:
        cells = [_binned(each, getattr(each, name), (begin, width, count)) for each in chosen]
        if any(value is not None for row in cells for value in row):
            found.append({"name": label, "unit": unit, "cells": cells})
    return {
        "kind": "heat",
        "rows": [f"{each.node}, {each.element}" if jobs else each.node for each in chosen],
        "start": round(begin, 1),
        "bins": [round((number + 1) * width, 1) for number in range(count)],
        "figures": found,
    }


def _binned(each: NodeSeries, values: Sequence[float | None], bins: tuple[float, float, int]) -> list[float | None]:
    """The most of each bin; a line that covers several counts in all of them, the first one as much as the next."""
    begin, width, count = bins
    found: list[float | None] = [None] * count
    before = max(begin, 2 * each.times[0] - each.times[min(1, len(each.times) - 1)])
    for at, value in zip(each.times, values, strict=bool(values)):
        last = min(int(max(at - begin - 1e-6, 0.0) / width), count - 1)
        first = min(int(max(before - begin, 0.0) / width), last)
        before = at
        for bin_ in range(first, last + 1):
            known = found[bin_]
            if value is not None:
                short = round(value, 3) if value < 100 else round(value)
                found[bin_] = short if known is None else max(known, short)
    return found


def shard_picture(shards: Sequence[ShardBar], now: float) -> Picture | None:
    """When each shard was processed, by number."""
    chosen = [bar for bar in shards if bar.started is not None]
    if len(shards) < 2 or not chosen:
        return None
    begin = min(bar.started or now for bar in chosen)
    return {
        "kind": "spans",
        "numbered": max(bar.shard for bar in shards) + 1,
        "rows": [],
        "kinds": list(_SHARD_KINDS),
        "start": round(begin, 3),
        "spans": [
            [bar.shard, _kind(bar), round((bar.started or now) - begin, 1), round((bar.ended or now) - begin, 1)]
            for bar in chosen
        ],
    }


def _kind(bar: ShardBar) -> int:
    return 0 if bar.state.value == "done" else 1 if bar.state.is_active else 2


def size_picture(shards: Sequence[ShardBar]) -> Picture | None:
    """Size of the input against the time that a shard took."""
    done = [bar for bar in shards if bar.started is not None and bar.ended is not None and bar.bytes]
    if len(done) < 3:
        return None
    points = [[bar.bytes, round((bar.ended or 0.0) - (bar.started or 0.0), 1), bar.shard] for bar in done]
    return {"kind": "points", "points": points}


def pictures_of(report: RunReport) -> dict[str, Picture]:
    """All pictures that there is something for, by the id of their place on the page."""
    found = {
        "funnel": funnel_picture(report.funnel.stages),
        "timeline": timeline_picture(report.timeline.spans),
        **stage_pictures(report.measured.stages),
        "task-times": task_time_picture(report.measured.stages),
        "nodes": node_picture(report.measured.nodes),
        "shards": shard_picture(report.shards, report.made),
        "sizes": size_picture(report.shards),
    }
    return {name: picture for name, picture in found.items() if picture is not None}
