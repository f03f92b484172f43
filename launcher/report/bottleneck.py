"""What the speed of a run depended on, and the figures that show it. Pure.

The causes are looked for in this order: nothing ran; one shard was late; the object store was full; the start took
longer than the work; a stage; an object store that is too small for the tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from curator_slurm.common.in_words import several
from curator_slurm.launcher.report.gather_report import DriverRecord, Records
from curator_slurm.launcher.report.report_model import Limit, Measured, ShardBar, StageSeries, Timeline
from curator_slurm.launcher.report.time_spent import PIPELINE, WORK

NOT_KNOWN = "not known"
_LATE = 1.5
"""A shard that takes so many times as long as the median."""
_ALONE = 0.3
"""And with which alone this share of the time is spent."""
_FULL = 0.9
_SPILLED = 0.2
"""Of the object store's size, written to disk."""
_FEW = 2
"""Readings of the object store that say nothing yet."""
_PLACES = 2
"""Tasks of a stage in the object store: one that is worked on, and one that waits."""
_BUSY = 0.5
"""Workers of a stage that limits are busier than that."""
_WAITING = 2.0
"""Tasks that wait for a worker of a stage which limits, though it is less busy than that."""
_LITTLE_WORK = 0.4
"""Share of the nodes' time below which no stage is to blame."""


@dataclass(frozen=True, kw_only=True)
class StageUse:
    """A stage while there was work for it: how busy its workers were, and what waited for it on average.

    `seconds` are those in which its workers were busy, of one of them on average: what the pipeline takes at least.
    """

    stage: str
    busy: float
    seconds: float
    queued: float
    workers: float


def limit_of(records: Records, measured: Measured, timeline: Timeline, shards: Sequence[ShardBar]) -> Limit:
    """The cause, or that none is known."""
    if not records.drivers:
        return Limit(stage=None, reason="nothing has run", evidence=())
    found = late_shard(shards) or full_store(records.drivers) or slow_start(timeline)
    stage = None if found else limiting_stage(measured.stages, _cpus(measured))
    if stage is not None and stage.stage is None:
        stage = small_store(records.drivers) or stage
    nothing = Limit(stage=None, reason=NOT_KNOWN, evidence=("no stage was measured long enough",))
    return found or stage or unknown_workers(records.drivers) or nothing


def late_shard(shards: Sequence[ShardBar]) -> Limit | None:
    """One shard that kept the run waiting while all others were done."""
    done = sorted((bar for bar in shards if bar.started and bar.ended), key=lambda bar: bar.ended or 0.0)
    if len(done) < 3:
        return None
    last, before = done[-1], done[-2]
    took = [(bar.ended or 0.0) - (bar.started or 0.0) for bar in done]
    whole = (last.ended or 0.0) - min(bar.started or 0.0 for bar in done)
    alone = (last.ended or 0.0) - (before.ended or 0.0)
    typical = median(took)
    if whole <= 0 or alone / whole < _ALONE or took[-1] < _LATE * typical:
        return None
    evidence = [
        f"shard {last.shard} took {took[-1]:,.0f} s, the median is {typical:,.0f} s",
        f"for {alone:,.0f} of {whole:,.0f} s it ran after all others had ended",
    ]
    sizes = [bar.bytes for bar in done if bar.bytes]
    if last.bytes and sizes and last.bytes > 1.5 * median(sizes):
        evidence.append(f"its input has {last.bytes:,} bytes, the median is {median(sizes):,.0f}")
    return Limit(stage=None, reason=f"shard {last.shard} is larger or slower than all others", evidence=tuple(evidence))


def full_store(drivers: Sequence[DriverRecord]) -> Limit | None:
    """Ray's object store was full, or went to disk, while there was anything in it."""
    largest = max((size for driver in drivers for size in _task_bytes(driver)), default=0)
    stores = [each for driver in drivers for each in driver.stores if each.store_capacity and each.store_used]
    if not stores:
        return None
    full = [each for each in stores if _is_full(each.store_used or 0, each.store_capacity or 0, largest)]
    spilled = max(_spilled(driver) for driver in drivers)
    capacity = max(each.store_capacity or 0 for each in stores)
    if len(full) < max(len(stores) / 4, _FEW) and spilled < _SPILLED * capacity:
        return None
    evidence = (
        f"{len(full)} of {len(stores)} readings found it more than {_FULL:.0%} full, or without room for another task"
        f"{f' of {largest:,} bytes' if largest else ''}",
        f"{spilled:,} bytes went to disk; it has {capacity:,}",
    )
    return Limit(
        stage=None, reason="the object store was full: stages waited for room in it, or for the disk", evidence=evidence
    )


def _spilled(driver: DriverRecord) -> int:
    """Since it began: its Ray may have served others before."""
    known = [each.store_spilled for each in driver.stores if each.store_spilled is not None]
    return max(known) - known[0] if known else 0


def _is_full(used: int, capacity: int, task: int) -> bool:
    return used > _FULL * capacity or (used > capacity / 2 and capacity - used < task)


def small_store(drivers: Sequence[DriverRecord]) -> Limit | None:
    """Where no stage had enough to do: the object store holds so few tasks that stages wait for each other.

    Ray Data and our actor pool leave some of it free, so that it is never full then.
    """
    for driver in drivers:
        capacity = max((each.store_capacity or 0 for each in driver.stores), default=0)
        sizes = _task_bytes(driver)
        if capacity and sizes and capacity < _PLACES * len(sizes) * max(sizes):
            return Limit(
                stage=None,
                reason="the object store holds too few tasks: stages waited for room in it",
                evidence=(
                    f"it has {capacity:,} bytes, and the largest tasks take about {max(sizes):,}: "
                    f"{capacity // max(sizes)} of them for {several(len(sizes), 'stage')}",
                ),
            )
    return None


def _task_bytes(driver: DriverRecord) -> list[int]:
    """About how many bytes a task has that each stage puts out, on average."""
    last = {(each.pipeline, each.position): each for each in driver.stages}
    known = [(each.bytes_out, each.tasks_out) for each in last.values()]
    return [round(size / tasks) for size, tasks in known if size is not None and tasks]


def slow_start(timeline: Timeline) -> Limit | None:
    """Most of the time of the nodes went into starting and ending."""
    on_nodes = {what: seconds for what, seconds in timeline.seconds.items() if not what.startswith("waiting in")}
    whole, work = sum(on_nodes.values()), on_nodes.get(WORK, 0.0)
    if not whole or work >= _LITTLE_WORK * whole:
        return None
    most = max((what for what in on_nodes if what != WORK), key=lambda what: on_nodes[what], default=PIPELINE)
    evidence = (
        f"the nodes worked for {work:,.0f} of {whole:,.0f} s",
        f"most of the rest was: {most}, {on_nodes.get(most, 0.0):,.0f} s",
    )
    return Limit(stage=None, reason="starting and ending took longer than the work", evidence=evidence)


def unknown_workers(drivers: Sequence[DriverRecord]) -> Limit | None:
    """No stage has ever said how many workers it has: how long these worked is all that can be told."""
    worked: dict[str, float] = {}
    for driver in drivers:
        last = {(each.pipeline, each.position): each for each in driver.stages}
        if any(each.workers is not None for each in driver.stages):
            return None
        for each in last.values():
            worked[each.stage] = worked.get(each.stage, 0.0) + (each.busy_s or 0.0)
    if not any(worked.values()):
        return None
    return Limit(
        stage=None,
        reason=f"{NOT_KNOWN}: the executor does not tell how many workers its stages have",
        evidence=tuple(
            f"all workers of {stage} together worked for {seconds:,.1f} s"
            for stage, seconds in sorted(worked.items(), key=lambda item: -item[1])
        ),
    )


def use_of(series: StageSeries) -> StageUse | None:
    """The use of a stage while it had workers; None where that was never measured."""
    pairs = [(busy, index) for index, busy in enumerate(series.busy) if busy is not None]
    if not pairs:
        return None
    active = [index for busy, index in pairs if busy > 0 or (series.queued[index] or 0) > 0] or [i for _, i in pairs]
    workers = [series.workers[index] or 0 for index in active]
    weights = [max(each, 1) for each in workers]
    busy = sum((series.busy[index] or 0.0) * weight for index, weight in zip(active, weights, strict=True))
    steps = [after - before for before, after in zip(series.times, series.times[1:], strict=False)]
    return StageUse(
        stage=series.stage,
        busy=busy / sum(weights),
        seconds=sum(share for share, _ in pairs) * (median(steps) if steps else 1.0),
        queued=sum(series.queued[index] or 0 for index in active) / len(active),
        workers=sum(workers) / len(active),
    )


def limiting_stage(stages: Sequence[StageSeries], cpus: float | None = None) -> Limit | None:
    """The stage whose workers had most to do, of the pipeline that took longest; the ones after it waited for it.

    `cpus` is the share of the nodes' CPUs that was busy.
    """
    if not stages:
        return None
    longest = max({each.pipeline for each in stages}, key=lambda name: _length(stages, name))
    chosen = [(each, use) for each in stages if each.pipeline == longest and (use := use_of(each)) is not None]
    if not chosen:
        return None
    series, use = max(chosen, key=lambda pair: pair[1].seconds)
    waited = use.queued > _WAITING * max(use.workers, 1.0)
    if use.busy < _BUSY and not waited:
        return Limit(
            stage=None,
            reason="no stage: workers of all of them waited most of the time",
            evidence=tuple(f"workers of {each.stage} were busy for {its.busy:.0%} of the time" for each, its in chosen),
        )
    names = [each.stage for each, _ in chosen]
    after = [its for each, its in chosen if names.index(each.stage) > names.index(series.stage)]
    evidence = [
        f"its {use.workers:,.1f} workers were busy for {use.busy:.0%} of the time, and {use.queued:,.1f} tasks waited",
        *(f"{its.stage}, after it: busy for {its.busy:.0%}, {its.queued:,.1f} tasks waited" for its in after[:2]),
    ]
    reason = f"stage {series.stage}: its workers had most to do"
    if use.busy < _BUSY:
        reason = f"stage {series.stage}: most tasks waited for it, while its workers were started or waited"
    if cpus is not None:
        evidence.append(f"{cpus:.0%} of the CPUs were busy")
        reason += (
            ", and there was no room for more" if cpus > _FULL else ", though CPUs were left" if cpus < _BUSY else ""
        )
    return Limit(stage=series.stage, reason=reason, evidence=tuple(evidence))


def _length(stages: Sequence[StageSeries], pipeline: str) -> float:
    times = [at for each in stages if each.pipeline == pipeline for at in each.times]
    return max(times) - min(times) if times else 0.0


def _cpus(measured: Measured) -> float | None:
    """The busy share of CPUs over all nodes, where their number is known."""
    known = [value for each in measured.nodes for value in each.cpus if value is not None]
    return min(sum(known) / len(known), 1.0) if known else None
