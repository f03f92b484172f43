"""The tables of a report's page: text in cells, made of the model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from curator_slurm.common.in_words import clock, count, duration, share, size
from curator_slurm.launcher.report.report_model import (
    FunnelStage,
    NodeSeries,
    RunReport,
    ShardBar,
    ShownDocument,
    StageSeries,
)
from curator_slurm.launcher.report.stage_labels import stage_labels
from curator_slurm.launcher.report.time_spent import QUEUE
from curator_slurm.launcher.status.shard_status import ShardState

MOST_SHARDS = 100
MOST_ROWS = 500
_MOMENTS = 10
_NONE = "-"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Text in cells; the first `text` columns are words, the others figures."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: int = 1


def funnel_table(stages: Sequence[FunnelStage]) -> Table:
    """What each stage took, kept, dropped and failed."""
    rows = tuple(
        (
            label,
            count(stage.tasks_in),
            count(stage.tasks_out),
            count(stage.items_in),
            count(stage.items_out),
            f"{count(stage.dropped)} {'' if stage.drops_items else 'tasks'}".strip(),
            count(stage.tasks_failed),
            count(stage.rows_failed),
            share(stage.items_out, stage.items_in) if stage.drops_items else _NONE,
            size(stage.bytes_in),
            size(stage.bytes_out),
        )
        for label, stage in zip(stage_labels(stages), stages, strict=True)
    )
    header = ("stage", "tasks in", "out", "items in", "out", "dropped", "tasks failed", "rows left out", "kept")
    caption = "Tasks, the items in them, and about how many bytes they took, of each stage"
    return Table(caption=caption, header=(*header, "bytes in", "out"), rows=rows)


def document_table(documents: Sequence[ShownDocument]) -> Table:
    """Documents that filters kept and dropped."""
    rows = tuple(
        (
            each.by if each.by == each.stage else f"{each.stage}: {each.by}",
            "kept" if each.kept else "dropped",
            each.why,
            " | ".join(f"{name}: {value}" for name, value in each.fields),
        )
        for each in documents
    )
    header = ("filter", "verdict", "decided by", "document")
    caption = f"Some documents: {len(rows)} of those that came first to each filter, cut short"
    return Table(caption=caption, header=header, rows=rows, text=4)


def time_table(report: RunReport) -> Table:
    """How much of the nodes' time went where."""
    spent = {what: seconds for what, seconds in report.timeline.seconds.items() if what != QUEUE}
    whole = sum(spent.values())
    rows = [(what, duration(seconds), share(seconds, whole)) for what, seconds in spent.items()]
    queue = report.timeline.seconds.get(QUEUE)
    if queue is not None:
        rows.insert(0, (QUEUE, duration(queue), _NONE))
    return Table(
        caption="Time of all nodes together, by what they were at; the queue counts once for each job",
        header=("at", "time", "share"),
        rows=tuple(rows),
    )


def attempts_table(report: RunReport) -> Table:
    """Every attempt, the newest where there are too many; finished sources where any attempt counts them."""
    counted = any(each.sources_finished for each in report.attempts)
    rows = tuple(
        (
            str(each.shard),
            each.attempt,
            str(each.failure_class or each.state or "no word"),
            " ".join(each.nodes[:4]) + (f" +{len(each.nodes) - 4}" if len(each.nodes) > 4 else "") or _NONE,
            clock(each.started),
            duration(each.ended - each.started) if each.started and each.ended else _NONE,
            _hours(each.node_hours),
            _hours(each.wasted_node_hours),
            count(each.sources_finished) if counted else _NONE,
        )
        for each in report.attempts[-MOST_SHARDS:]
    )
    left_out = len(report.attempts) - len(rows)
    more = f"; {count(left_out)} earlier ones are in report --json" if left_out else ""
    header = ("shard", "attempt", "ended", "nodes", "started", "took", "node-hours", "wasted", "sources finished")
    return Table(caption=f"Attempts at shards{more}", header=header, rows=rows, text=5)


def stage_table(stages: Sequence[StageSeries]) -> Table:
    """Each stage over the whole time."""
    rows = []
    for label, each in zip(stage_labels(stages), stages, strict=True):
        rates = [value for value in each.rate if value is not None]
        busy = [value for value in each.busy if value is not None]
        queued = [value for value in each.queued if value is not None]
        workers = [value for value in each.workers if value is not None]
        rows.append(
            (
                label,
                f"{max(rates):,.1f}" if rates else _NONE,
                count(max(queued)) if queued else _NONE,
                count(max(workers)) if workers else _NONE,
                share(sum(busy), len(busy)) if busy else _NONE,
                _longest(each),
            )
        )
    header = ("stage", "tasks/s at most", "waiting at most", "workers at most", "workers busy", "longest task")
    return Table(caption="Stages over the whole run", header=header, rows=tuple(rows))


def moments_table(name: str, caption: str, stages: Sequence[StageSeries]) -> Table:
    """A figure of all stages at some moments, evenly chosen."""
    times = sorted({at for each in stages for at in each.times})
    chosen = times[:: -(-len(times) // _MOMENTS) or 1]
    rows = []
    for label, each in zip(stage_labels(stages), stages, strict=True):
        known = dict(zip(each.times, getattr(each, name), strict=True))
        rows.append((label, *(_figure(name, known.get(at)) for at in chosen)))
    header = ("stage", *(f"after {duration(at - times[0])}" for at in chosen))
    return Table(caption=caption, header=header, rows=tuple(rows))


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0%}" if name == "busy" else f"{value:,.1f}" if isinstance(value, float) else count(value)


def _longest(each: StageSeries) -> str:
    """The upper end of the last bucket that has a task."""
    return f"up to {_seconds(float([*each.task_seconds][-1]))}" if each.task_seconds else _NONE


def bucket_label(key: str) -> str:
    """The column of tasks that took up to so many seconds."""
    return f"≤ {_seconds(float(key))}"


def _seconds(value: float) -> str:
    return duration(value) if value >= 10 else f"{value:g} s" if value >= 1 else f"{value * 1000:.3g} ms"


def task_time_table(stages: Sequence[StageSeries]) -> Table:
    """How many tasks of each stage took how long."""
    keys = sorted({key for each in stages for key in each.task_seconds}, key=float)
    rows = tuple(
        (label, *(count(each.task_seconds[key]) if key in each.task_seconds else "" for key in keys))
        for label, each in zip(stage_labels(stages), stages, strict=True)
        if each.task_seconds
    )
    header = ("stage", *map(bucket_label, keys))
    return Table(caption="Number of tasks by the time that they took", header=header, rows=rows)


def node_table(nodes: Sequence[NodeSeries]) -> Table:
    """Means and peaks of each node."""
    rows = tuple(
        (
            each.node,
            each.element,
            _mean_share(each.cpus),
            _peak(each.memory),
            _mean_share(each.gpus),
            _peak(each.shm),
            _peak(each.network) + ("/s" if _peak(each.network) != _NONE else ""),
        )
        for each in nodes[:MOST_ROWS]
    )
    header = ("node", "job", "CPUs busy", "memory at most", "GPUs busy", "/dev/shm at most", "network at most")
    return Table(caption="Nodes over the whole run", header=header, rows=rows, text=2)


def _mean_share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return share(sum(known), len(known)) if known else _NONE


def _peak(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return size(max(known)) if known else _NONE


def shard_table(shards: Sequence[ShardBar], now: float) -> Table:
    """Shards that are not done, then those that took longest."""
    ordered = sorted(shards, key=lambda bar: (bar.state is ShardState.DONE, -(_took(bar, now) or 0.0), bar.shard))
    rows = tuple(
        (
            str(bar.shard),
            str(bar.failure_class or bar.state),
            bar.message[:200],
            clock(bar.started),
            count(bar.attempts),
            duration(_took(bar, now)),
            size(bar.bytes),
            count(bar.rows) if bar.rows is not None else _NONE,
        )
        for bar in ordered[:MOST_SHARDS]
    )
    of = f"{count(len(rows))} of {count(len(shards))} shards: " if len(rows) < len(shards) else ""
    header = ("shard", "state", "message", "started", "attempts", "took", "input", "rows")
    caption = f"{of}those that are not done first, then by the time that they took"
    return Table(caption=caption, header=header, rows=rows, text=4)


def _took(bar: ShardBar, now: float) -> float | None:
    return None if bar.started is None else (bar.ended or now) - bar.started


def cost_table(report: RunReport) -> Table:
    """What the run has taken, and how much of it was used."""
    costs = report.costs
    usage = costs.usage
    rows = [
        (
            "node-hours",
            _hours(usage.node_hours),
            f"{_hours(usage.wasted_node_hours)} of them lost with interrupted work",
        ),
        ("CPU-hours", _hours(costs.cpu_hours), _idle(costs.cpu_hours, costs.cpu_hours_busy)),
        ("waiting in the queue", duration(costs.queue_s), ""),
        (
            "memory on one node, at most",
            size(costs.memory_peak),
            f"of {size(costs.memory_asked)} that the job had there" if costs.memory_asked else "",
        ),
        (
            "energy",
            f"{costs.energy_kwh:,.2f} kWh" if costs.energy_kwh is not None else _NONE,
            f"measured of {costs.energy_of}: an estimate of what the nodes took" if costs.energy_of else "not measured",
        ),
    ]
    if costs.gpu_hours:
        rows.insert(2, ("GPU-hours", _hours(costs.gpu_hours), _idle(costs.gpu_hours, costs.gpu_hours_busy)))
    return Table(caption="What the run has taken", header=("what", "how much", "of which"), rows=tuple(rows), text=3)


def _idle(whole: float | None, busy: float | None) -> str:
    if whole is None or busy is None:
        return "how many were busy was not measured"
    return f"{_hours(busy)} of them busy, {share(max(whole - busy, 0.0), whole)} idle"


def _hours(hours: float | None) -> str:
    if hours is None:
        return _NONE
    return f"{hours:,.0f}" if hours >= 100 or not hours else f"{hours:.1f}" if hours >= 10 else f"{hours:.3f}"


def settings_table(report: RunReport) -> Table:
    """What the spec, site files and options say."""
    rows = tuple((each.key, each.value, each.origin) for each in report.ran.settings)
    return Table(
        caption="Settings that are not defaults, and who made them",
        header=("setting", "value", "from"),
        rows=rows,
        text=3,
    )


def size_table(shards: Sequence[ShardBar]) -> Table:
    """Shards in ten parts of equal number, by the size of their input, and how long those of each part took."""
    done = sorted((bar for bar in shards if bar.bytes and bar.started and bar.ended), key=lambda bar: bar.bytes or 0)
    step = -(-len(done) // _MOMENTS) or 1
    rows = []
    for start in range(0, len(done), step):
        part = done[start : start + step]
        took = [(bar.ended or 0.0) - (bar.started or 0.0) for bar in part]
        of = f"{size(part[0].bytes)} to {size(part[-1].bytes)}"
        rows.append((of, count(len(part)), duration(min(took)), duration(median(took)), duration(max(took))))
    header = ("input", "shards", "shortest", "median", "longest")
    return Table(caption="Shards by the size of their input", header=header, rows=tuple(rows))
