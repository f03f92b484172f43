"""What could be set of the stage that limits a run, from what was measured of it: workers, CPUs, batches. Pure.

Only of stages that the spec lists, because only these have settings for --set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curator_slurm.common.in_words import duration, several, share
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.report.bottleneck import StageUse, use_of
from curator_slurm.launcher.report.gather_report import NodeRecord
from curator_slurm.launcher.report.over_time import allotted, mean_of
from curator_slurm.launcher.report.report_model import Advice, RunReport, StageSeries
from curator_slurm.launcher.spec.pipeline_section import StageSpec

_FULL = 0.8
"""Workers of a stage with a fixed number that are busier than that are too few."""
_IDLE_CPUS = 0.5
"""There is room for more where less of the CPUs are busy than that."""
_MOST_TIMES = 4
_TAKEN = 0.8
"""Of the CPUs, by workers of the stage."""
_SHORT_CALL_S = 0.05
_CALL_S = 0.5
"""How long a call of a stage should take, beside what it costs to make one."""
_MANY_TASKS = 200
_BUSY = 0.7
_CPU_STEP = 0.25


@dataclass(frozen=True)
class Limiting:
    """The stage that limits: where it is in the spec, what was measured of it, and of the CPUs."""

    index: int
    spec: StageSpec
    use: StageUse
    series: StageSeries
    tasks: int
    cpus: float
    """Of all nodes."""
    cpus_busy: float | None
    """Their share that was busy."""

    def key(self, name: str) -> str:
        """Of a setting, for --set."""
        return f"pipeline.stages.{self.index}.{name}"


def stage_advice(report: RunReport, plan: Plan, nodes: Sequence[NodeRecord]) -> Iterator[Advice]:
    """All advice about the stage that limits; none where no stage does, or the spec does not list it."""
    found = _limiting(report, plan, nodes)
    if found is not None:
        yield from _more_workers(found)
        yield from _fewer_cpus(found)
        yield from _larger_batches(found)


def _limiting(report: RunReport, plan: Plan, nodes: Sequence[NodeRecord]) -> Limiting | None:
    name, listed = report.limit.stage, plan.spec.pipeline.stages
    if name is None or not listed or len({each.pipeline for each in report.measured.stages}) != 1:
        return None
    names = [each.stage for each in report.measured.stages]
    index = spec_index(names, name, listed)
    series = next(each for each in report.measured.stages if each.stage == name)
    use = use_of(series)
    counted = next((each for each in report.funnel.stages if each.stage == name), None)
    cpus = [known for node in nodes if (known := allotted(node, "cpus")) is not None]
    if index is None or use is None or counted is None or len(cpus) < len(nodes):
        return None
    busy = [used for node in nodes if (used := mean_of(node.samples, "cpus_job")) is not None]
    return Limiting(
        index=index,
        spec=listed[index],
        use=use,
        series=series,
        tasks=counted.tasks_in,
        cpus=float(sum(cpus)),
        cpus_busy=sum(busy) / sum(cpus) if cpus and len(busy) == len(nodes) else None,
    )


def spec_index(names: Sequence[str], name: str, listed: Sequence[StageSpec]) -> int | None:
    """Which of the listed stages has this name among those that ran; None where that is not sure.

    A reader becomes two stages: one that divides its files, and one that reads them.
    """
    if names.count(name) != 1:
        return None
    called = [index for index, stage in enumerate(listed) if stage.name == name]
    if len(called) == 1:
        return called[0]
    position = names.index(name)
    if len(names) == len(listed):
        return position
    reads = listed[0].use.endswith("Reader") and len(names) == len(listed) + 1
    return max(position - 1, 0) if reads and position else None


def _more_workers(found: Limiting) -> Iterator[Advice]:
    """Of a fixed number that had all hands full, while CPUs were left."""
    before, use = found.spec.num_workers, found.use
    idle = found.cpus_busy is not None and found.cpus_busy < _IDLE_CPUS
    if before is None or not idle or use.busy < _FULL or use.queued < before:
        return
    assert found.cpus_busy is not None
    wanted = min(round(before * min(_MOST_TIMES, _FULL / max(found.cpus_busy, 0.01))), round(use.queued))
    if wanted <= before:
        return
    yield Advice(
        key=found.key("num_workers"),
        value=str(wanted),
        before=str(before),
        evidence=f"its {several(before, 'worker')} were busy for {share(use.busy, 1)} of the time, "
        f"{several(round(use.queued), 'task')} "
        f"waited, and {share(found.cpus_busy, 1)} of the CPUs were busy",
        saves=f"up to {duration(use.seconds * (1 - before / wanted))} of {duration(use.seconds)} of this stage",
    )


def _fewer_cpus(found: Limiting) -> Iterator[Advice]:
    """For each worker, where they hold the CPUs and do not use them: then there is room for more of them."""
    resources, use = found.spec.resources, found.use
    asked = resources.cpus if resources is not None else None
    if not asked or found.cpus_busy is None or found.spec.num_workers is not None or not use.busy:
        return
    held = use.workers * asked
    used = found.cpus_busy * found.cpus / (use.workers * use.busy) if use.workers else asked
    wanted = max(math.ceil(used / _CPU_STEP) * _CPU_STEP, _CPU_STEP)
    if held < _TAKEN * found.cpus or found.cpus_busy >= _IDLE_CPUS or wanted > 0.75 * asked:
        return
    yield Advice(
        key=found.key("resources.cpus"),
        value=f"{wanted:g}",
        before=f"{asked:g}",
        evidence=f"its {use.workers:.1f} workers held {held:.1f} of "
        f"{several(found.cpus, 'CPU')}, of which "
        f"{share(found.cpus_busy, 1)} were busy: at most {used:.2f} for a worker at work",
        saves=f"up to {duration(use.seconds * (1 - wanted / asked))} of {duration(use.seconds)} of this stage",
    )


def _larger_batches(found: Limiting) -> Iterator[Advice]:
    """Where tasks are so short that workers wait for the next one, although there are many."""
    use, before = found.use, found.spec.batch_size or 1
    seconds = _mean_task_s(found.series)
    if seconds is None or seconds * before > _SHORT_CALL_S or found.tasks < _MANY_TASKS:
        return
    if use.busy >= _BUSY or use.queued < 2 * max(use.workers, 1.0):
        return
    most = found.tasks // (4 * max(round(use.workers), 1))
    wanted = min(before * math.ceil(_CALL_S / max(seconds * before, 1e-4)), most)
    if wanted < 2 * before:
        return
    yield Advice(
        key=found.key("batch_size"),
        value=str(wanted),
        before=str(found.spec.batch_size or "not set"),
        evidence=f"{several(found.tasks, 'task')} took about {seconds * 1000:.3g} ms each; its workers were busy for "
        f"{share(use.busy, 1)} of the time, while {several(round(use.queued), 'task')} waited",
        saves="calls of the stage: the rest of its workers' time went into these",
    )


def _mean_task_s(series: StageSeries) -> float | None:
    """About how long a task took, of a histogram in powers of two: the middle of each of its parts."""
    tasks = sum(series.task_seconds.values())
    if not tasks:
        return None
    return sum(0.75 * float(key) * number for key, number in series.task_seconds.items()) / tasks
