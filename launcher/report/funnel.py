"""Where the documents went: what each stage took, kept, dropped and failed, over all shards. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curator_slurm.launcher.report.gather_report import DriverRecord, Records
from curator_slurm.launcher.report.report_model import Funnel, FunnelStage
from curator_slurm.launcher.report.shown_documents import shown_documents
from curator_slurm.launcher.status.reports import StageReport

_Named = tuple[str, Sequence[StageReport]]
_Key = tuple[str, int, str]
"""Pipeline, position and name of a stage."""


@dataclass(frozen=True)
class _Found:
    """A stage: in the attempts that count, with the stage before it, and in all that have worked."""

    counted: list[tuple[StageReport, StageReport | None]]
    worked: list[StageReport]


def funnel_of(records: Records) -> Funnel:
    """The funnel of a run: of each shard the figures of its newest attempt, which has those of what is finished."""
    chains = _chains(records.drivers)
    sums: dict[_Key, _Found] = {}
    for chain in chains:
        for number, driver in enumerate(chain):
            for pipeline, stages in _pipelines(driver):
                before: StageReport | None = None
                for position, stage in enumerate(stages):
                    found = sums.setdefault((pipeline, position, stage.name), _Found([], []))
                    found.worked.append(stage)
                    if number == 0:
                        found.counted.append((stage, before))
                    before = stage
    summed = tuple(_sum(key[0], found) for key, found in _in_order(sums) if found.counted)
    rows = [record.rows for record in records.done.values()]
    return Funnel(
        shards=len(chains),
        attempts=sum(map(len, chains)),
        uncounted=sum(chain[0].progress.uncounted for chain in chains if chain[0].progress is not None),
        stages=summed,
        documents=shown_documents([driver for chain in chains for driver in chain], _asked(records)),
        files=sum(len(record.files) for record in records.done.values()),
        rows=sum(each for each in rows if each is not None) if rows and None not in rows else None,
        bytes=sum(record.bytes for record in records.done.values()),
    )


def _asked(records: Records) -> int | None:
    return records.plan.spec.report.samples or None if records.plan is not None else None


def _chains(drivers: Sequence[DriverRecord]) -> list[list[DriverRecord]]:
    """Of each shard the newest attempt with figures, then those before it, as long as each was taken over from."""
    by_shard: dict[int, list[DriverRecord]] = {}
    for driver in drivers:
        if driver.progress is not None and driver.progress.stages:
            by_shard.setdefault(driver.shard, []).append(driver)
    chains: list[list[DriverRecord]] = []
    for attempts in by_shard.values():
        chain = [attempts[-1]]
        for earlier, later in zip(attempts[-2::-1], attempts[:0:-1], strict=True):
            if later.took_over != earlier.attempt:
                break
            chain.append(earlier)
        chains.append(chain)
    return chains


def _pipelines(driver: DriverRecord) -> Iterable[_Named]:
    assert driver.progress is not None
    for earlier in driver.progress.earlier:
        yield earlier.pipeline, earlier.stages
    yield driver.progress.pipeline, driver.progress.stages


def _in_order(sums: dict[_Key, _Found]) -> list[tuple[_Key, _Found]]:
    """Pipelines as they came, each with its stages by position."""
    pipelines = list(dict.fromkeys(pipeline for pipeline, _, _ in sums))
    return sorted(sums.items(), key=lambda item: (pipelines.index(item[0][0]), item[0][1]))


def drops_items(stage: StageReport, before: StageReport | None) -> bool:
    """Whether a stage returns what it takes, so that fewer items out than in were dropped."""
    kind = before.kind if before is not None else ""
    same = bool(kind) and (stage.kind == kind or stage.tasks_out == 0)
    return same and stage.items_in is not None and stage.items_out is not None


def _sum(pipeline: str, found: _Found) -> FunnelStage:
    stages = [stage for stage, _ in found.counted]
    taken, given, failed, rows = (
        _total(stages, name) for name in ("items_in", "items_out", "items_failed", "rows_failed")
    )
    used = [pair for pair in found.counted if pair[0].tasks_in] or found.counted
    same = all(drops_items(stage, before) for stage, before in used) and taken >= given + failed + rows
    filtered = _total(stages, "tasks_filtered")
    busy = [stage.busy_s for stage in found.worked if stage.busy_s is not None]
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
        rows_failed=rows,
        bytes_in=_known(found.worked, "bytes_in"),
        bytes_out=_known(found.worked, "bytes_out"),
        dropped=taken - given - failed - rows if same else filtered,
        drops_items=same,
        kept=given / taken if same and taken else None,
        busy_s=round(sum(busy), 3) if busy else None,
        workers_peak=max(
            (stage.workers_peak for stage in found.worked if stage.workers_peak is not None), default=None
        ),
    )


def _known(stages: Sequence[StageReport], name: str) -> int | None:
    """The sum of what is known."""
    values = [value for stage in stages if (value := getattr(stage, name)) is not None]
    return sum(values) if values else None


def _total(stages: Sequence[StageReport], name: str) -> int:
    return sum(getattr(stage, name) or 0 for stage in stages)
