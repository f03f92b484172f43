"""What a run has taken: hours of nodes, CPUs and GPUs, how much of them was used, memory, energy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from curator_slurm.common.measurements import NodeSample
from curator_slurm.launcher.report.gather_report import JobRecord, NodeRecord, Records
from curator_slurm.launcher.report.over_time import allotted
from curator_slurm.launcher.report.report_model import Costs, Timeline
from curator_slurm.launcher.report.time_spent import QUEUE

_HOUR = 3600.0


def costs_of(records: Records, timeline: Timeline) -> Costs:
    """Hours are those of the nodes whose measurements were read."""
    nodes = [(job, node) for job in records.jobs for node in job.nodes if node.samples]
    cpus = [(allotted(node, "cpus"), _seconds(node)) for _, node in nodes]
    gpus = [(_gpu_count(node), _seconds(node)) for _, node in nodes]
    samples = [sample for _, node in nodes for sample in node.samples]
    peak, asked = _memory(nodes)
    power = [sample.power * sample.seconds for sample in samples if sample.power is not None]
    gpu_power = [sample.gpu_power * sample.seconds for sample in samples if sample.gpu_power is not None]
    energy = [*power, *gpu_power]
    return Costs(
        usage=records.usage,
        queue_s=timeline.seconds.get(QUEUE),
        cpu_hours=_hours(count * seconds for count, seconds in cpus if count) if any(c for c, _ in cpus) else None,
        cpu_hours_busy=_hours(_known(samples, "cpus_job")) if samples else None,
        gpu_hours=_hours(count * seconds for count, seconds in gpus if count) if any(c for c, _ in gpus) else None,
        gpu_hours_busy=_hours(sum(each.gpus) * each.seconds for each in samples if each.gpus)
        if any(each.gpus for each in samples)
        else None,
        memory_peak=peak,
        memory_asked=asked,
        energy_kwh=round(sum(energy) / 3.6e6, 4) if energy else None,
        energy_of=" and ".join(name for name, part in (("processors", power), ("GPUs", gpu_power)) if part),
    )


def _seconds(node: NodeRecord) -> float:
    """For how long it was measured, which is from the start of its agent to its end."""
    return sum(sample.seconds for sample in node.samples)


def _gpu_count(node: NodeRecord) -> int | None:
    """GPUs that were really there: logical ones have no use."""
    return max((len(sample.gpus) for sample in node.samples if sample.gpus), default=None)


def _known(samples: Sequence[NodeSample], name: str) -> Iterator[float]:
    return (value * each.seconds for each in samples if (value := getattr(each, name)) is not None)


def _hours(seconds: Iterator[float]) -> float:
    return round(sum(seconds) / _HOUR, 4)


def _memory(nodes: Sequence[tuple[JobRecord, NodeRecord]]) -> tuple[int | None, int | None]:
    """The most on one node, and what the job had there."""
    found: list[tuple[int, int | None]] = []
    for _, node in nodes:
        peak = max((sample.memory_job for sample in node.samples if sample.memory_job is not None), default=None)
        if peak is not None:
            found.append((peak, allotted(node, "memory")))
    return max(found, key=lambda pair: pair[0]) if found else (None, None)
