"""What the same pipeline could ask for next time, from what was measured of a run. Pure.

Each advice is a setting for --set, with the figures behind it and what it would have saved. Without a figure there is
no advice; and none of a run whose measurements are not of all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from curator_slurm.common.in_words import count, duration, several, share, size
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.report.bottleneck import full_store
from curator_slurm.launcher.report.gather_report import NodeRecord, Records
from curator_slurm.launcher.report.over_time import allotted, busy_gpus, mean_of
from curator_slurm.launcher.report.report_model import Advice, RunReport
from curator_slurm.launcher.report.stage_advice import stage_advice
from curator_slurm.launcher.report.time_spent import WORK
from curator_slurm.launcher.spec import slurm_memory, slurm_time
from curator_slurm.launcher.states import RunState

_MEGABYTE = 1 << 20
_MARGIN = 1.3
"""Memory above the most that was used."""
_WORTH = 0.75
"""Less is asked for only where it is less than this share."""
_LEAST_MEMORY = 2 << 30
_SHORTEST_LIMIT_S = 600
_LIMIT_MARGIN = 1.5
_MUCH_TOO_LONG = 3.0
_IDLE = 0.4
"""Nodes whose CPUs were busy for less than that are too many."""
_FILLED = 0.7
"""How busy the CPUs of fewer nodes would be."""
_SHORT_SHARD = 5.0
"""A shard shorter than so many starts of its job."""
_LONG_ENOUGH = 20.0
_LARGER_STORE = 0.5
_GPU_IDLE = 0.01


@dataclass(frozen=True, kw_only=True)
class AdviceView:
    """What `advise --json` prints; `why_none` where there is no advice."""

    schema: int = 1
    run_id: str
    name: str
    advice: tuple[Advice, ...]
    why_none: str


def advise(records: Records, report: RunReport) -> AdviceView:
    """All advice about a run, or why there is none."""
    found: tuple[Advice, ...] = ()
    why = _why_none(records, report)
    if not why:
        assert records.plan is not None
        found = tuple(_all(records, report, records.plan))
        why = "" if found else "what was asked for fits what was used"
    return AdviceView(run_id=report.status.run_id, name=report.status.name, advice=found, why_none=why)


def _why_none(records: Records, report: RunReport) -> str:
    if records.plan is None:
        return "the plan of the run cannot be read"
    if not report.status.state.is_final:
        return "the run goes on: what it will need is not known yet"
    if records.plan.spec.resources.groups:
        return "the run has groups of nodes, of which nothing is advised yet"
    if report.measured.omitted or records.omitted_jobs:
        return "the run has more jobs and nodes than are read"
    if not any(node.samples for job in records.jobs for node in job.nodes):
        return "nothing was measured of the run's nodes"
    return ""


def _all(records: Records, report: RunReport, plan: Plan) -> Iterator[Advice]:
    nodes = [node for job in records.jobs for node in job.nodes if node.samples]
    if report.status.state is RunState.COMPLETED:
        if plan.cluster is Cluster.SLURM:
            yield from _less_memory(nodes, report, plan)
            yield from _fewer_gpus(nodes, report, plan)
            yield from _fewer_nodes(nodes, report, plan)
            yield from _shorter_limit(records, plan)
        yield from _longer_elements(records, report, plan)
        yield from stage_advice(report, plan, nodes)
    elif plan.cluster is Cluster.SLURM:
        yield from _after_failure(nodes, report, plan)
    yield from _larger_store(records, plan)


def _peak(nodes: Sequence[NodeRecord], name: str) -> int | None:
    found = (getattr(sample, name) for node in nodes for sample in node.samples)
    return max((value for value in found if value is not None), default=None)


def _less_memory(nodes: Sequence[NodeRecord], report: RunReport, plan: Plan) -> Iterator[Advice]:
    """As much as was used, with a margin, and with room for an object store as full as it was."""
    asked = max((memory for node in nodes if (memory := allotted(node, "memory"))), default=None)
    before, peak = plan.spec.resources.mem_per_node, _peak(nodes, "memory_job")
    if before is None or asked is None or peak is None:
        return
    store = (_peak(nodes, "shm") or 0) * _MARGIN / plan.spec.cluster.object_store_fraction
    wanted = _rounded_up(max(peak * _MARGIN, store, _LEAST_MEMORY))
    if wanted > _WORTH * asked:
        return
    hours = report.costs.usage.node_hours
    saved = (asked - wanted) / (1 << 30) * hours
    yield Advice(
        key="resources.mem_per_node",
        value=slurm_memory.memory_text(wanted // _MEGABYTE),
        before=before,
        evidence=f"a node had at most {size(peak)} of {size(asked)} in use",
        saves=f"{_some(saved)} GiB-hours",
    )


def _some(hours: float) -> str:
    """With two digits where they are few: a short run, too, has saved something."""
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"


def _rounded_up(wanted: float) -> int:
    """To whole gigabytes."""
    return math.ceil(wanted / (1 << 30)) << 30


def _fewer_gpus(nodes: Sequence[NodeRecord], report: RunReport, plan: Plan) -> Iterator[Advice]:
    """As many as were ever busy on a node."""
    before, given = plan.spec.resources.gpus_per_node, plan.spec.resources.gpu_count
    used = [_used_gpus(node) for node in nodes]
    known = [each for each in used if each is not None]
    if before is None or not given or len(known) < len(nodes):
        return
    most = max(known)
    if most >= given:
        return
    hours = (given - most) * (report.costs.gpu_hours or 0.0) / given
    of_type = f"{before.rsplit(':', 1)[0]}:" if ":" in before and most else ""
    yield Advice(
        key="resources.gpus_per_node",
        value=f"{of_type}{most}",
        before=before,
        evidence=f"of {several(given, 'GPU')} on a node, {most} were busy for more than {_GPU_IDLE:.0%} of the time",
        saves=f"{_some(hours)} GPU-hours",
    )


def _used_gpus(node: NodeRecord) -> int | None:
    """How many of a node's GPUs were at work; None where that was not measured."""
    if busy_gpus(node.samples) is None:
        return None
    longest = max(len(sample.gpus or ()) for sample in node.samples)
    whole = sum(sample.seconds for sample in node.samples if sample.gpus)
    shares = [
        sum(sample.gpus[index] * sample.seconds for sample in node.samples if sample.gpus and len(sample.gpus) > index)
        for index in range(longest)
    ]
    return sum(busy > _GPU_IDLE * whole for busy in shares)


def _fewer_nodes(nodes: Sequence[NodeRecord], report: RunReport, plan: Plan) -> Iterator[Advice]:
    """So many that their CPUs would have had enough to do; not where GPUs do the work."""
    before, spec = plan.spec.resources.nodes, plan.spec
    busy = [
        (used, cpus)
        for node in nodes
        if (used := mean_of(node.samples, "cpus_job")) is not None and (cpus := allotted(node, "cpus")) is not None
    ]
    if before < 2 or spec.resources.wants_gpus or len(busy) < len(nodes):
        return
    whole = sum(used for used, _ in busy) / sum(cpus for _, cpus in busy)
    wanted = max(math.ceil(before * whole / _FILLED), 1)
    if whole >= _IDLE or wanted >= before or (spec.cluster.min_nodes or 0) > wanted:
        return
    hours = report.costs.usage.node_hours * (1 - wanted / before)
    yield Advice(
        key="resources.nodes",
        value=str(wanted),
        before=str(before),
        evidence=f"{share(whole, 1)} of the CPUs of {several(before, 'node')} were busy on average",
        saves=f"up to {_some(hours)} node-hours, if it takes as long on {count(wanted)}",
    )


def _shorter_limit(records: Records, plan: Plan) -> Iterator[Advice]:
    """Half as long again as the longest job took."""
    before, longest = plan.spec.resources.time, _longest_job(records)
    limit = slurm_time.seconds(str(before)) if before is not None else None
    if limit is None or longest is None:
        return
    wanted = max(math.ceil(longest * _LIMIT_MARGIN / 300) * 300, _SHORTEST_LIMIT_S)
    if longest * _MUCH_TOO_LONG > limit or wanted >= limit:
        return
    yield Advice(
        key="resources.time",
        value=slurm_time.time_text(wanted),
        before=str(before),
        evidence=f"the longest job took {duration(longest)} of {duration(limit)}",
        saves="no hours: a shorter job finds a place sooner where Slurm fills gaps",
    )


def _longest_job(records: Records) -> float | None:
    """Seconds from the first to the last sign of a job."""
    lengths = []
    for job in records.jobs:
        times = [at for _, _, _, at in job.phases]
        if times and job.outcome is not None:
            lengths.append(max(max(times), job.outcome.ended or 0.0) - min(times))
    return max(lengths, default=None)


def _longer_elements(records: Records, report: RunReport, plan: Plan) -> Iterator[Advice]:
    """Several shards on one Ray cluster, where starting it takes as long as a shard."""
    shards, elements = plan.spec.shards, len(records.jobs)
    done = [bar for bar in report.shards if bar.started is not None and bar.ended is not None]
    work = report.timeline.seconds.get(WORK)
    if shards is None or elements < 4 or len(done) < 4 or work is None:
        return
    nodes = sum(len(job.nodes) for job in records.jobs) or 1
    spent = sum(seconds for what, seconds in report.timeline.seconds.items() if not what.startswith("waiting in"))
    start = (spent - work) / nodes
    took = work / nodes / max(len(done) / elements, 1.0)
    if took <= 0 or start <= 0 or took > _SHORT_SHARD * start:
        return
    wanted = min(math.ceil(_LONG_ENOUGH * start / took), math.ceil(report.status.shards.total / 2))
    if wanted <= shards.per_element:
        return
    saved = (spent - work) * (1 - shards.per_element / wanted) / 3600
    yield Advice(
        key="shards.per_element",
        value=str(wanted),
        before=str(shards.per_element),
        evidence=f"a job worked for {duration(took)} at a shard, and took {duration(start)} to start and to end",
        saves=f"{several(round(saved, 2), 'node-hour')}",
    )


def _after_failure(nodes: Sequence[NodeRecord], report: RunReport, plan: Plan) -> Iterator[Advice]:
    """More of what there was too little of."""
    resources, failure = plan.spec.resources, report.status.failure_class
    peak = _peak(nodes, "memory_job")
    asked = max((memory for node in nodes if (memory := allotted(node, "memory"))), default=None)
    if failure is FailureClass.OUT_OF_MEMORY and resources.mem_per_node and peak is not None and asked is not None:
        yield Advice(
            key="resources.mem_per_node",
            value=slurm_memory.memory_text(_rounded_up(asked * 1.5) // _MEGABYTE),
            before=resources.mem_per_node,
            evidence=f"it ran out of memory: {size(peak)} of {size(asked)} were in use on a node when last looked at",
            saves="the run",
        )
    limit = slurm_time.seconds(str(resources.time)) if resources.time is not None else None
    if failure is FailureClass.TIME_LIMIT and limit is not None:
        yield Advice(
            key="resources.time",
            value=slurm_time.time_text(limit * 2),
            before=str(resources.time),
            evidence=f"its time limit of {duration(limit)} came before its end",
            saves="the run",
        )


def _larger_store(records: Records, plan: Plan) -> Iterator[Advice]:
    limit, before = full_store(records.drivers), plan.spec.cluster.object_store_fraction
    if limit is not None and before < _LARGER_STORE:
        yield Advice(
            key="cluster.object_store_fraction",
            value=f"{_LARGER_STORE:g}",
            before=f"{before:g}",
            evidence="; ".join(limit.evidence),
            saves="waiting for room in the object store, or for the disk",
        )
