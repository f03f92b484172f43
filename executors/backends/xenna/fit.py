"""Make a pipeline fit a cluster: pure arithmetic on CPUs and GPUs, no Ray, no cosmos-xenna.

cosmos-xenna places one worker of every stage at once and refuses what does not fit. By itself it counts
``floor(0.95 x CPUs)`` of each node, which is three of four; here the share is of the cluster, and whole CPUs are left
out evenly. CPUs are only a way to say how many workers may run side by side, so a
pipeline too big for its cluster is run by time-sharing: every stage's CPU request is scaled down alike.
GPUs are not scaled: two models that each need a whole GPU's memory cannot share one. A GPU that would
stand idle only because its node has too few CPUs to count is used: its workers share the CPUs as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from curator_slurm.common.in_words import several
from curator_slurm.executors.run.placement import ClusterNode, Need, check_fits, shrunk
from curator_slurm.executors.task_failures import DoesNotFitError

MIN_CPUS = 0.01
"""The smallest CPU request of a worker; cosmos-xenna rejects a worker that asks for nothing."""

_STEPS = 60  # bisection steps: far below the 1/1000 CPU that requests are rounded to
_EPSILON = 1e-6


@dataclass(frozen=True)
class Demand:
    """What the workers of one stage need: ``workers`` times ``cpus`` and ``gpus``.

    ``fixed`` means that the user chose the number; otherwise the engine may start more.
    """

    stage: str
    cpus: float
    gpus: float = 0.0
    workers: int = 1
    fixed: bool = False
    group: str | None = None
    """The only group of nodes that they may be on."""

    @property
    def need(self) -> Need:
        """Of one worker."""
        return Need(self.cpus, self.gpus, self.group)


@dataclass(frozen=True)
class Fit:
    """How many CPUs to count on each node, what each stage asks for, and why that differs from the request."""

    node_cpus: dict[str, float]
    stage_cpus: list[float]
    stage_workers: list[int | None]
    """Fixed numbers of workers, where the engine would otherwise leave GPUs idle, for a time or for good."""
    note: str = ""


def fit(nodes: Sequence[ClusterNode], demands: Sequence[Demand], cpu_share: float, *, together: bool) -> Fit:
    """Find CPU counts and requests under which all stages run, ``together`` or one after the other.

    Raises:
        DoesNotFitError: no amount of CPU time-sharing makes this pipeline fit.
    """
    demands = [replace(demand, cpus=max(demand.cpus, MIN_CPUS)) for demand in demands]
    groups = [list(demands)] if together else [[demand] for demand in demands]
    for group in groups:
        _check_gpus(nodes, group, together=together)

    full = [_fill_gpus(nodes, group) for group in groups]
    for counted in _ways_to_count(nodes, cpu_share):
        if all(_packs(counted, group) for group in full):
            filled = [_sole_gpu_workers(group) for group in full]
            return Fit(_by_id(counted), [demand.cpus for demand in demands], [count for one in filled for count in one])

    # From here the requests exceed the cluster. Count every CPU, and at least one: a node started with
    # --num-cpus 0 can still run stage workers, which ask Ray for nothing.
    counted = [replace(node, cpus=node.cpus or 1.0) for node in nodes]
    stage_cpus = [cpus for group in full for cpus in _shrink(counted, group)]
    workers = [
        filled.workers if filled.workers > asked.workers else None
        for filled, asked in zip((d for group in full for d in group), demands, strict=True)
    ]
    return Fit(_by_id(counted), stage_cpus, workers, _explain(nodes, demands, stage_cpus))


def check_each_fits(nodes: Sequence[ClusterNode], demands: Iterable[Demand]) -> None:
    """Refuse a stage that not even one worker of fits on any node.

    Raises:
        DoesNotFitError: there is one.
    """
    for demand in demands:
        check_fits(demand.stage, shrunk(demand.need, nodes), nodes)


def shrink_further(previous: Fit, factor: float) -> Fit:
    """The same fit with smaller requests, for an engine that packs less tightly than `fit`."""
    return replace(previous, stage_cpus=[_round_down(cpus * factor) for cpus in previous.stage_cpus])


def _fill_gpus(nodes: Sequence[ClusterNode], group: Sequence[Demand]) -> list[Demand]:
    """As many workers of the GPU stages as the GPUs allow, equally more of each."""
    if not any(demand.gpus > 0 and not demand.fixed for demand in group):
        return list(group)

    def grown(more: int) -> list[Demand]:
        return [
            replace(demand, workers=demand.workers + more) if demand.gpus > 0 and not demand.fixed else demand
            for demand in group
        ]

    low = 0
    high = 1 + math.ceil(sum(node.gpus for node in nodes) / min(d.gpus for d in group if d.gpus > 0))
    while high - low > 1:
        middle = (low + high) // 2
        if _packs(nodes, [replace(demand, cpus=0.0) for demand in grown(middle)]):
            low = middle
        else:
            high = middle
    return grown(low)


def _sole_gpu_workers(group: Sequence[Demand]) -> list[int | None]:
    """All GPUs at once for the stage that has them to itself: the engine would give it as many as any other stage.

    Where several stages share the GPUs, their speed decides, which the engine measures.
    """
    sole = sum(demand.gpus > 0 for demand in group) == 1
    return [demand.workers if sole and demand.gpus > 0 and not demand.fixed else None for demand in group]


def _ways_to_count(nodes: Sequence[ClusterNode], cpu_share: float) -> Iterator[list[ClusterNode]]:
    """From the least to the most generous one."""
    yield _without_some(nodes, math.floor(sum(node.cpus for node in nodes) * (1 - cpu_share) + _EPSILON))
    yield [replace(node, cpus=node.cpus * cpu_share) for node in nodes]
    yield list(nodes)


def _without_some(nodes: Sequence[ClusterNode], cpus: int) -> list[ClusterNode]:
    """All but so many whole CPUs, each taken from the node that has the most left."""
    left = [math.floor(node.cpus) for node in nodes]
    for _ in range(cpus):
        largest = max(range(len(left)), key=left.__getitem__)
        left[largest] = max(0, left[largest] - 1)
    return [replace(node, cpus=count) for node, count in zip(nodes, left, strict=True)]


def _by_id(nodes: Iterable[ClusterNode]) -> dict[str, float]:
    return {node.node_id: float(node.cpus) for node in nodes}


def _shrink(nodes: Sequence[ClusterNode], group: Sequence[Demand]) -> list[float]:
    """The largest common factor under which the group packs, applied to its requests."""
    if _packs(nodes, group):
        return [demand.cpus for demand in group]
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _packs(nodes, _scaled(group, middle)):
            low = middle
        else:
            high = middle
    return [demand.cpus for demand in _scaled(group, low)]


def _scaled(group: Sequence[Demand], factor: float) -> list[Demand]:
    return [replace(demand, cpus=_round_down(demand.cpus * factor)) for demand in group]


def _round_down(cpus: float) -> float:
    return max(math.floor(cpus * 1000) / 1000, 0.001)


def _packs(nodes: Sequence[ClusterNode], demands: Sequence[Demand]) -> bool:
    """First fit, largest first: GPU workers before CPU workers."""
    cpus = [float(node.cpus) for node in nodes]
    gpus = [[1.0] * int(node.gpus) for node in nodes]
    for demand in sorted(demands, key=lambda d: (d.gpus, d.cpus), reverse=True):
        for _ in range(demand.workers):
            for index, node in enumerate(nodes):
                if not demand.need.allows(node.group):
                    continue
                if cpus[index] + _EPSILON >= demand.cpus and _take_gpus(gpus[index], demand.gpus):
                    cpus[index] -= demand.cpus
                    break
            else:
                return False
    return True


def _take_gpus(free: list[float], wanted: float) -> bool:
    if wanted <= _EPSILON:
        return True
    if wanted < 1 - _EPSILON:
        for index, share in enumerate(free):
            if share + _EPSILON >= wanted:
                free[index] -= wanted
                return True
        return False
    whole = [index for index, share in enumerate(free) if share >= 1 - _EPSILON][: round(wanted)]
    if len(whole) < round(wanted):
        return False
    for index in whole:
        free[index] = 0.0
    return True


def _check_gpus(nodes: Sequence[ClusterNode], group: Sequence[Demand], *, together: bool) -> None:
    total = sum(node.gpus for node in nodes)
    for demand in group:
        if demand.gpus > 1 and not float(demand.gpus).is_integer():
            raise DoesNotFitError(
                f"stage {demand.stage!r} asks for {demand.gpus} GPUs: above 1, only whole numbers are possible"
            )
    check_each_fits(nodes, group)
    gpu_only = [replace(demand, cpus=0.0) for demand in group]
    if not _packs(nodes, gpu_only):
        wanted = sum(demand.gpus * demand.workers for demand in group)
        cure = "set `execution_mode: batch`, which runs one stage at a time, or lower" if together else "lower"
        raise DoesNotFitError(
            f"the stages need {several(wanted, 'GPU')} at the same time, but the Ray cluster has {total}; "
            f"{cure} `num_workers` or `resources.gpus`"
        )


def _explain(nodes: Sequence[ClusterNode], demands: Sequence[Demand], stage_cpus: Sequence[float]) -> str:
    total = sum(node.cpus for node in nodes)
    reduced = ", ".join(
        f"{demand.stage} {demand.cpus:g} -> {cpus:g}"
        for demand, cpus in zip(demands, stage_cpus, strict=True)
        if cpus < demand.cpus
    )
    return (
        f"The Ray cluster has {several(total, 'CPU')} on {several(len(nodes), 'node')}, too few for one worker of "
        f"every stage and all GPUs in use: the stages share the CPUs. CPUs per worker: {reduced}"
    )
