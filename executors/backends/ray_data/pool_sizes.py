"""With how many actors the pools of a run begin: plain arithmetic on nodes and needs.

Ray Data begins with one actor per pool and adds to it while its queue is long: one at a time in Ray 2.52, as many as
the queue asks for in 2.60, and not before the first one is ready. With models that load for minutes, that costs loads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from curator_slurm.executors.run.placement import ClusterNode, Need


@dataclass(frozen=True)
class PoolNeed:
    """What is known of an operator before it runs."""

    need: Need
    is_actor: bool = True
    least: int = 1
    most: int | None = None
    fixed: int | None = None
    """The number of workers, if the user has said so."""
    initial: int | None = None
    """The number to begin with, if the user has said so."""
    batches: int | None = None
    """How many it will get, where that can be told: it has no use for more workers."""

    @property
    def cap(self) -> float:
        """The most workers to begin with."""
        bounds = [bound for bound in (self.most, self.batches) if bound is not None]
        return self.fixed or self.initial or max(self.least, min(bounds, default=float("inf")))

    @property
    def required(self) -> int:
        """What it must have; one without actors, room for a task."""
        return (self.fixed or self.initial or self.least) if self.is_actor else 1


@dataclass(frozen=True)
class PoolSize:
    """Of one operator."""

    initial: int
    least: int
    """Ray Data ends idle workers down to this number."""


def pool_sizes(pools: Sequence[PoolNeed], nodes: Sequence[ClusterNode]) -> list[PoolSize]:
    """How many workers each operator begins with, and keeps.

    One that has the GPUs to itself keeps its workers while it waits for input, because their models are loaded.
    """
    counts = initial_sizes(pools, nodes)
    sole = sum(pool.need.gpus > 0 for pool in pools) == 1
    return [
        PoolSize(count, count if pool.need.gpus > 0 and sole and _leaves_room(pool, pools, nodes) else pool.least)
        for pool, count in zip(pools, counts, strict=True)
    ]


def _leaves_room(pool: PoolNeed, pools: Sequence[PoolNeed], nodes: Sequence[ClusterNode]) -> bool:
    """Whether each node that all GPUs of are taken has room for a worker of all others: it may be the last one."""
    others = sum(other.need.cpus for other in pools if other is not pool)
    return all(
        others <= node.cpus - math.floor(node.gpus / pool.need.gpus) * pool.need.cpus
        for node in nodes
        if node.holds(pool.need)
    )


def initial_sizes(pools: Sequence[PoolNeed], nodes: Sequence[ClusterNode]) -> list[int]:
    """Workers for each operator, so that together they fill the nodes.

    All get what they must have. Then GPU operators share the GPUs, and what is left of the CPUs is for the others, each
    the same share: how fast they are is not known. Operators without actors have theirs left free.
    """
    room = _Room(nodes)
    counts = [0] * len(pools)
    for index, pool in enumerate(pools):
        for _ in range(pool.required):
            counts[index] += room.take(pool.need)
    for group in (
        [index for index, pool in enumerate(pools) if pool.need.gpus > 0],
        [index for index, pool in enumerate(pools) if pool.need.gpus <= 0 and pool.need.cpus > 0],
    ):
        _fill(pools, counts, group, room)
    return [max(count, pool.required) for count, pool in zip(counts, pools, strict=True)]


def _fill(pools: Sequence[PoolNeed], counts: list[int], group: list[int], room: _Room) -> None:
    """One more worker for the operator that has least, while there is room."""
    while group:
        index = min(group, key=lambda i: (counts[i] * (pools[i].need.gpus or pools[i].need.cpus), i))
        if counts[index] < pools[index].cap and room.take(pools[index].need):
            counts[index] += 1
        else:
            group.remove(index)


class _Room:
    """What is free of the nodes."""

    def __init__(self, nodes: Sequence[ClusterNode]) -> None:
        self._cpus = [node.cpus for node in nodes]
        self._gpus = [node.gpus for node in nodes]
        self._groups = [node.group for node in nodes]

    def take(self, need: Need) -> bool:
        """Place a worker; whether there was room.

        One without a GPU goes where the fewest GPUs are free; of nodes that have some, to the emptiest, so that there
        are CPUs beside them, and of others to the fullest.
        """
        allowed = (i for i, group in enumerate(self._groups) if need.allows(group))
        fitting = [i for i in allowed if need.within(self._cpus[i], self._gpus[i])]
        if not fitting:
            return False
        best = max(fitting, key=lambda i: self._preference(i, with_gpu=need.gpus > 0))
        self._cpus[best] -= need.cpus
        self._gpus[best] -= need.gpus
        return True

    def _preference(self, index: int, *, with_gpu: bool) -> tuple[float, float]:
        cpus, gpus = self._cpus[index], self._gpus[index]
        if with_gpu:
            return gpus, cpus
        return -gpus, cpus if gpus else -cpus
