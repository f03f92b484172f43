"""Which workers are ended so that stages that are short of workers get their room. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence

from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.preemption import pending_capacity
from curator_slurm.executors.backends.ray_actor_pool.shares import Load, finish_s
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker
from curator_slurm.executors.run.placement import Need

_AT_ONCE = 64
_START_COST_S = 1.0
_WORTH = 0.9
"""A move must shorten what is left to this share of it."""


def workers_to_end(
    everyone: Sequence[StageState],
    stages: Sequence[StageState],
    loads: Sequence[Load],
    targets: Sequence[int],
    nodes: Nodes,
    now: float,
) -> list[Worker]:
    """Workers above their stages' targets that must make room, as far as the move gains more than their start has cost.

    `loads` and `targets` are those of `stages`, the ones of `everyone` that are not finished. Room that is free, or
    will be when workers have ended that are told to, is counted first.
    """
    missing = [index for index, stage in enumerate(stages) if targets[index] > len(stage.active)]
    if not missing:
        return []
    spare = {stage.index: len(stage.active) - target for stage, target in zip(stages, targets, strict=True)}
    have = {node.node_id: pending_capacity(node, everyone) for node in nodes.fitting(Need(0, 0))}
    ended: list[Worker] = []
    for index in sorted(missing, key=lambda index: finish_s(loads[index], len(stages[index].active)), reverse=True):
        stage = stages[index]
        short = targets[index] - len(stage.active)
        possible = {node.node_id for node in nodes.fitting(stage.need)} if stage.need.group is not None else set(have)
        for node_id, room in have.items():
            while (
                node_id in possible
                and short > 0
                and stage.need.within(room.cpus, room.gpus)
                and (stage.need.cpus or stage.need.gpus)
            ):
                room = have[node_id] = less(room, stage.need)
                short -= 1
        gain = _gain(loads[index], len(stage.active), short)
        while short > 0 and gain > 0 and len(ended) < _AT_ONCE:
            rooms = {node_id: have[node_id] for node_id in possible}
            found = _cheapest(stage, stages, everyone, spare, rooms, ended, now, gain)
            if found is None:
                break
            node_id, victims = found
            ended += victims
            for worker in victims:
                spare[worker.stage] -= 1
                have[node_id] = less(have[node_id], everyone[worker.stage].need, -1)
            have[node_id] = less(have[node_id], stage.need)
            short -= 1
    return ended


def less(room: Need, need: Need, times: int = 1) -> Need:
    """What is left of some room when a worker has taken its part of it."""
    return Need(room.cpus - times * need.cpus, room.gpus - times * need.gpus)


def _gain(load: Load, workers: int, more: int) -> float:
    """Seconds by which so many more workers shorten the stage; 0 where that is not worth a move."""
    before, after = finish_s(load, workers), finish_s(load, workers, more)
    return before - after if after < _WORTH * before else 0.0


def _cost(worker: Worker, stages: Sequence[StageState], now: float) -> float:
    """Seconds that were spent on starting it."""
    return _START_COST_S + stages[worker.stage].setup_s if worker.ready else now - worker.born


def _cheapest(
    stage: StageState,
    stages: Sequence[StageState],
    everyone: Sequence[StageState],
    spare: dict[int, int],
    have: dict[str, Need],
    ended: list[Worker],
    now: float,
    limit: float,
) -> tuple[str, list[Worker]] | None:
    """The node, and the workers on it to end, that make room for one worker at the lowest cost below the limit."""
    best: tuple[float, int, str, list[Worker]] | None = None
    candidates = [
        (_cost(worker, everyone, now), len(worker.calls), worker)
        for other in stages
        if other is not stage and spare[other.index] > 0
        for worker in other.active
        if worker not in ended and (stage.need.group is None or worker.node_id in have)
    ]
    by_node: dict[str, list[tuple[float, int, Worker]]] = {}
    for entry in sorted((entry for entry in candidates if entry[0] < limit), key=lambda entry: entry[:2]):
        by_node.setdefault(entry[2].node_id, []).append(entry)
    for node_id, entries in by_node.items():
        room, chosen, left = have.get(node_id, Need(0, 0)), list[Worker](), dict(spare)
        total, busy = 0.0, 0
        for seconds, calls, worker in entries:
            if stage.need.within(room.cpus, room.gpus):
                break
            need = everyone[worker.stage].need
            helps = (need.cpus and room.cpus < stage.need.cpus) or (need.gpus and room.gpus < stage.need.gpus)
            if left[worker.stage] > 0 and helps:
                left[worker.stage] -= 1
                room = less(room, need, -1)
                total, busy = max(total, seconds), busy + calls
                chosen.append(worker)
        if chosen and stage.need.within(room.cpus, room.gpus) and (best is None or (total, busy) < best[:2]):
            best = total, busy, node_id, chosen
    return None if best is None else best[2:]
