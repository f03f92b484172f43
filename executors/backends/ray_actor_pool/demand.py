"""What is asked of each stage for the rest of a run, from what the driver has counted and measured. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.shares import Load, shares
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState
from curator_slurm.executors.run.placement import Need


def targets_of(stages: Sequence[StageState], loads: Sequence[Load], nodes: Nodes) -> list[int]:
    """Workers for each stage: those that are bound to a group share its nodes, the others what these leave of all."""
    targets = [0] * len(stages)
    left = room_of(nodes)
    bound = {stage.need.group for stage in stages} - {None}
    for group in (*sorted(filter(None, bound)), None):
        own = [index for index, stage in enumerate(stages) if stage.need.group == group]
        counts = shares([loads[index] for index in own], left if group is None else room_of(nodes, group))
        for index, count in zip(own, counts, strict=True):
            targets[index] = count
            need = loads[index].need
            left = Need(max(0.0, left.cpus - count * need.cpus), max(0.0, left.gpus - count * need.gpus))
    return targets


def room_of(nodes: Nodes, group: str | None = None) -> Need:
    """The CPUs and GPUs of all nodes, or of a group."""
    empty = [node for node in nodes.empty() if Need(0, 0, group).allows(node.group)]
    return Need(sum(node.cpus for node in empty), sum(node.gpus for node in empty))


def loads_of(
    stages: Sequence[StageState], nodes: Nodes, now: float, blocked: Callable[[StageState], bool]
) -> list[Load]:
    """The loads of stages that follow each other; a task becomes as many as tasks have become so far, else one."""
    loads: list[Load] = []
    rooms = {group: room_of(nodes, group) for group in {stage.need.group for stage in stages}}
    coming = 0.0
    known = False
    for stage in stages:
        tasks = stage.tasks_here() + coming
        coming = tasks * (stage.tasks_out / stage.tasks_in if stage.tasks_in else 1.0)
        batch_s = stage.usual_batch_s(now)
        capacity = max(1, nodes.capacity(stage.need))
        most = min(stage.max_workers, capacity)
        if blocked(stage):
            most = max(stage.min_workers, len(stage.active))
        loads.append(
            Load(
                need=_part_of(stage.need, rooms[stage.need.group], capacity),
                batches=math.ceil(tasks / stage.batch_size),
                batch_s=batch_s,
                startup_s=_startup_s(stage, now),
                least=min(stage.min_workers, most) if stage.workers or stage.can_form_batch else 0,
                most=most,
                waits=known and batch_s is None and not stage.has_work,
            )
        )
        known = known or batch_s is not None
    return loads


def _part_of(need: Need, room: Need, capacity: int) -> Need:
    """What a worker takes of the cluster: more than it needs, where nodes have remainders that hold none."""
    if need.gpus:
        return Need(need.cpus, max(need.gpus, room.gpus / capacity))
    return Need(max(need.cpus, room.cpus / capacity), 0.0) if need.cpus else need


def _startup_s(stage: StageState, now: float) -> float:
    """As measured; before that, at least as long as the first worker has taken so far."""
    if stage.started:
        return stage.startup_s
    return max([stage.startup_s, *(now - worker.born for worker in stage.workers)])
