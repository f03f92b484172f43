"""Where the documents went: what each stage took, kept, dropped and failed, over all shards. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from curator_slurm.launcher.report.gather_report import DriverRecord, Records
from curator_slurm.launcher.report.report_model import Funnel, FunnelStage
from curator_slurm.launcher.status.reports import StageReport

_Named = tuple[str, Sequence[StageReport]]


def funnel_of(records: Records) -> Funnel:
    """The funnel of a run; of a shard, every attempt counts that a later one has taken over from, and the newest."""
    chosen = _counted(records.drivers)
    sums: dict[tuple[str, int, str], list[tuple[StageReport, StageReport | None]]] = {}
    for driver in chosen:
        for pipeline, stages in _pipelines(driver):
            before: StageReport | None = None
            for position, stage in enumerate(stages):
                sums.setdefault((pipeline, position, stage.name), []).append((stage, before))
                before = stage
    summed = tuple(_sum(pipeline, found) for (pipeline, _, _), found in _in_order(sums))
    rows = [record.rows for record in records.done.values()]
    return Funnel(
        shards=len({driver.shard for driver in chosen}),
        attempts=len(chosen),
        stages=summed,
        files=sum(len(record.files) for record in records.done.values()),
        rows=sum(each for each in rows if each is not None) if rows and None not in rows else None,
        bytes=sum(record.bytes for record in records.done.values()),
    )


def _counted(drivers: Sequence[DriverRecord]) -> list[DriverRecord]:
    """Of each shard the newest attempt with figures, and those before it, as long as each was taken over from."""
    by_shard: dict[int, list[DriverRecord]] = {}
    for driver in drivers:
        if driver.progress is not None and driver.progress.stages:
            by_shard.setdefault(driver.shard, []).append(driver)
    chosen: list[DriverRecord] = []
    for attempts in by_shard.values():
        kept = [attempts[-1]]
        for earlier, later in zip(attempts[-2::-1], attempts[:0:-1], strict=True):
            if later.took_over != earlier.attempt:
                break
            kept.append(earlier)
        chosen += kept
    return chosen


def _pipelines(driver: DriverRecord) -> Iterable[_Named]:
    assert driver.progress is not None
    for earlier in driver.progress.earlier:
        yield earlier.pipeline, earlier.stages
    yield driver.progress.pipeline, driver.progress.stages


def _in_order(
    sums: dict[tuple[str, int, str], list[tuple[StageReport, StageReport | None]]],
) -> list[tuple[tuple[str, int, str], list[tuple[StageReport, StageReport | None]]]]:
    """Pipelines as they came, each with its stages by position."""
    pipelines = list(dict.fromkeys(pipeline for pipeline, _, _ in sums))
    return sorted(sums.items(), key=lambda item: (pipelines.index(item[0][0]), item[0][1]))


def drops_items(stage: StageReport, before: StageReport | None) -> bool:
    """Whether a stage returns what it takes, so that fewer items out than in were dropped."""
    kind = before.kind if before is not None else ""
    same = bool(kind) and (stage.kind == kind or stage.tasks_out == 0)
    return same and stage.items_in is not None and stage.items_out is not None


def _sum(pipeline: str, found: Sequence[tuple[StageReport, StageReport | None]]) -> FunnelStage:
    stages = [stage for stage, _ in found]
    same = all(drops_items(stage, before) for stage, before in found)
    taken, given, failed = (_total(stages, name) for name in ("items_in", "items_out", "items_failed"))
    filtered = _total(stages, "tasks_filtered")
    busy = [stage.busy_s for stage in stages if stage.busy_s is not None]
    return FunnelStage(
        pipeline=pipeline,
        stage=stages[0].name,
        tasks_in=_total(stages, "tasks_in"),
        tasks_out=_total(stages, "tasks_out"),
        tasks_filtered=filtered,
        tasks_failed=_total(stages, "tasks_failed"),
        items_in=taken,
        items_out=given,
        items_failed=failed,
        rows_failed=_total(stages, "rows_failed"),
        dropped=max(taken - given - failed, 0) if same else filtered,
        drops_items=same,
        kept=given / taken if same and taken else None,
        busy_s=round(sum(busy), 3) if busy else None,
        workers_peak=max((stage.workers_peak for stage in stages if stage.workers_peak is not None), default=None),
    )


def _total(stages: Sequence[StageReport], name: str) -> int:
    return sum(getattr(stage, name) or 0 for stage in stages)
