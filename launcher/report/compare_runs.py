"""Two runs side by side: what differs in their plans, and in what came of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curator_slurm.launcher.report.report_model import FunnelStage, RunReport
from curator_slurm.launcher.report.time_spent import ORDER


@dataclass(frozen=True, kw_only=True)
class DifferentSetting:
    """A setting that the plans have different values of; null where it is a default."""

    key: str
    first: str | None
    second: str | None


@dataclass(frozen=True, kw_only=True)
class ComparedFigure:
    """A figure of both runs; `unit` is s, bytes, hours, kWh, rows, tasks, items, share or a count (nothing)."""

    name: str
    unit: str
    first: float | None
    second: float | None


@dataclass(frozen=True, kw_only=True)
class ComparedStage:
    """A stage of both runs, by pipeline and name; null where one has none. Rates are over the time that it ran."""

    pipeline: str
    stage: str
    items_in: tuple[int | None, ...]
    items_out: tuple[int | None, ...]
    tasks_failed: tuple[int | None, ...]
    busy_s: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `report RUN OTHER --json` prints: pairs are of the first run and the second."""

    schema: int = 1
    made: float
    run_ids: tuple[str, ...]
    names: tuple[str, ...]
    settings: tuple[DifferentSetting, ...]
    figures: tuple[ComparedFigure, ...]
    time: tuple[ComparedFigure, ...]
    """Seconds of all nodes together, by what they were at."""
    stages: tuple[ComparedStage, ...]


def compare(first: RunReport, second: RunReport) -> Comparison:
    """The two, as they are."""
    return Comparison(
        made=second.made,
        run_ids=(first.status.run_id, second.status.run_id),
        names=(first.status.name, second.status.name),
        settings=tuple(_settings(first, second)),
        figures=tuple(_figures(first, second)),
        time=tuple(_time(first, second)),
        stages=tuple(_stages(first, second)),
    )


def _settings(first: RunReport, second: RunReport) -> Iterator[DifferentSetting]:
    mine, others = ({each.key: each.value for each in report.ran.settings} for report in (first, second))
    for key in dict.fromkeys([*mine, *others]):
        if mine.get(key) != others.get(key):
            yield DifferentSetting(key=key, first=mine.get(key), second=others.get(key))


def _figures(first: RunReport, second: RunReport) -> Iterator[ComparedFigure]:
    pairs = zip(_own_figures(first), _own_figures(second), strict=True)
    for (name, unit, mine), (_, _, other) in pairs:
        if mine is not None or other is not None:
            yield ComparedFigure(name=name, unit=unit, first=mine, second=other)


def _own_figures(report: RunReport) -> Iterator[tuple[str, str, float | None]]:
    """The same names for every run."""
    status, costs = report.status, report.costs
    took = status.ended - status.started if status.ended and status.started else None
    yield "took", "s", took
    yield "waited in the queue", "s", costs.queue_s
    yield "nodes", "", len(status.nodes) or None
    yield "shards", "", status.shards.total
    yield "shards done", "", status.shards.done
    yield "attempts", "", costs.usage.attempts
    yield "rows published", "rows", report.funnel.rows
    yield "bytes published", "bytes", report.funnel.bytes
    yield "rows published in an hour", "rows", _per_hour(report.funnel.rows, took)
    yield "tasks failed", "tasks", sum(stage.tasks_failed for stage in report.funnel.stages)
    yield "node-hours", "hours", costs.usage.node_hours
    yield "node-hours lost with interrupted work", "hours", costs.usage.wasted_node_hours
    yield "CPU-hours", "hours", costs.cpu_hours
    yield "share of CPUs busy", "share", _part(costs.cpu_hours_busy, costs.cpu_hours)
    yield "GPU-hours", "hours", costs.gpu_hours
    yield "share of GPUs busy", "share", _part(costs.gpu_hours_busy, costs.gpu_hours)
    yield "memory on one node, at most", "bytes", costs.memory_peak
    yield "energy", "kWh", costs.energy_kwh


def _per_hour(rows: int | None, took: float | None) -> float | None:
    return round(rows / took * 3600, 1) if rows is not None and took else None


def _part(part: float | None, whole: float | None) -> float | None:
    return round(part / whole, 4) if part is not None and whole else None


def _time(first: RunReport, second: RunReport) -> Iterator[ComparedFigure]:
    mine, other = first.timeline.seconds, second.timeline.seconds
    for what in ORDER:
        if what in mine or what in other:
            yield ComparedFigure(name=what, unit="s", first=mine.get(what), second=other.get(what))


def _stages(first: RunReport, second: RunReport) -> Iterator[ComparedStage]:
    tables = [{(each.pipeline, each.stage): each for each in report.funnel.stages} for report in (first, second)]
    for key in dict.fromkeys([*tables[0], *tables[1]]):
        pair: list[FunnelStage | None] = [table.get(key) for table in tables]
        yield ComparedStage(
            pipeline=key[0],
            stage=key[1],
            items_in=tuple(each.items_in if each else None for each in pair),
            items_out=tuple(each.items_out if each else None for each in pair),
            tasks_failed=tuple(each.tasks_failed if each else None for each in pair),
            busy_s=tuple(each.busy_s if each else None for each in pair),
        )
