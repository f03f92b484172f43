"""How many workers each stage should have, so that all of them are through at about the same time. No I/O, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from curator_slurm.executors.run.placement import Need

_EPSILON = 1e-6
_STEPS = 50


@dataclass(frozen=True)
class Load:
    """What a stage has to do, and what a worker of it takes."""

    need: Need
    batches: float
    """That wait, run, or will come from the stages before it."""
    batch_s: float | None = None
    """Of one batch in a worker; unknown until the first one is done or takes long."""
    startup_s: float = 1.0
    """Until a worker that is started now has work."""
    least: int = 1
    most: int = 1_000_000
    """What the stage, or the nodes, allow."""
    waits: bool = False
    """It has had no input yet, while stages before it are known: what it needs is asked later."""

    @property
    def useful(self) -> int:
        """More workers than this would have nothing to do, or be late for it."""
        count = math.ceil(min(self.batches, 1e9))
        if self.batch_s is not None:
            count = min(count, int(self.batches * self.batch_s / max(self.startup_s, _EPSILON)))
        return max(self.least, min(self.most, count))


def shares(loads: Sequence[Load], room: Need) -> list[int]:
    """Workers for each stage within the CPUs and GPUs of `room`, and never fewer than its least.

    A stage of unknown speed is taken for as slow as the average of the others.
    """
    known = [load.batch_s for load in loads if load.batch_s is not None]
    usual = sum(known) / len(known) if known else 1.0
    work = [load.batches * (usual if load.batch_s is None else load.batch_s) for load in loads]
    least = _with_gpus(loads, room)
    most = [
        low if load.waits and not load.need.gpus else max(low, load.useful)
        for load, low in zip(loads, least, strict=True)
    ]

    if not _fits(loads, least, room):
        return least
    everyone = set(range(len(loads)))
    counts = _even(loads, work, least, most, room, everyone)
    without_gpus = {index for index in everyone if not loads[index].need.gpus}
    if without_gpus != everyone:  # GPUs may be the limit, and CPUs be left
        counts = _even(loads, work, counts, most, room, without_gpus)
    counts = _fill(loads, work, counts, most, room)
    costs = [load.need.cpus or load.need.gpus for load in loads]
    return [count if cost else high for count, cost, high in zip(counts, costs, most, strict=True)]


def _even(
    loads: Sequence[Load],
    work: Sequence[float],
    least: Sequence[int],
    most: Sequence[int],
    room: Need,
    growing: set[int],
) -> list[int]:
    """The workers with which the growing stages are through at the same time, as early as there is room for."""

    def within(seconds: float) -> list[int]:
        wanted = (math.ceil(amount / seconds - _EPSILON) for amount in work)
        return [
            max(low, min(high, count)) if index in growing else low
            for index, (count, low, high) in enumerate(zip(wanted, least, most, strict=True))
        ]

    slow = max([1.0, *(amount / max(1, count) for amount, count in zip(work, least, strict=True))])
    fast = max(slow * 1e-7, 1e-6)
    if _fits(loads, within(fast), room):
        return within(fast)
    for _ in range(_STEPS):
        middle = math.sqrt(fast * slow)
        fast, slow = (fast, middle) if _fits(loads, within(middle), room) else (middle, slow)
    return within(slow) if _fits(loads, within(slow), room) else list(least)


def finish_s(load: Load, workers: int, late: int = 0) -> float:
    """Seconds until so many workers are through, some of which must be started first."""
    work = load.batches * (load.batch_s or 0.0)
    together = workers + late
    return (work + late * load.startup_s) / together if together else math.inf if work else 0.0


def _with_gpus(loads: Sequence[Load], room: Need) -> list[int]:
    """The least of every stage; of a stage of unknown speed with GPUs, all GPUs that no other stage needs."""
    least = [load.least for load in loads]
    takers = [index for index, load in enumerate(loads) if load.need.gpus and load.batches]
    for index in takers:
        load = loads[index]
        if load.batch_s is None:
            share = int(room.gpus / len(takers) / load.need.gpus + _EPSILON)
            more = list(least)
            more[index] = max(least[index], min(load.most, share, math.ceil(min(load.batches, 1e9))))
            while more[index] > least[index] and not _fits(loads, more, room):
                more[index] -= 1
            least = more
    return least


def _fill(
    loads: Sequence[Load], work: Sequence[float], counts: list[int], most: Sequence[int], room: Need
) -> list[int]:
    """Hand out what rounding has left, to the slowest first."""
    open_stages = {index for index, load in enumerate(loads) if load.need.gpus or load.need.cpus}
    while open_stages:
        index = max(open_stages, key=lambda index: (work[index] / max(1, counts[index]), -index))
        more = [count + (other == index) for other, count in enumerate(counts)]
        if counts[index] >= most[index] or not _fits(loads, more, room):
            open_stages.discard(index)
        else:
            counts = more
    return counts


def _fits(loads: Sequence[Load], counts: Sequence[int], room: Need) -> bool:
    cpus = sum(load.need.cpus * count for load, count in zip(loads, counts, strict=True))
    gpus = sum(load.need.gpus * count for load, count in zip(loads, counts, strict=True))
    return Need(cpus, gpus).within(room.cpus * (1 + _EPSILON), room.gpus * (1 + _EPSILON))
