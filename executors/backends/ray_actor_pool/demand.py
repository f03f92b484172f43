"""What is asked of each stage for the rest of a run, from what the driver has counted and measured. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.shares import Load
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState
from curator_slurm.executors.run.placement import Need


def room_of(nodes: Nodes) -> Need:
    """The CPUs and GPUs of all nodes."""
    empty = nodes.empty()
    return Need(sum(node.cpus for node in empty), sum(node.gpus for node in empty))


def loads_of(
    stages: Sequence[StageState], nodes: Nodes, now: float, blocked: Callable[[StageState], bool]
) -> list[Load]:
    """The loads of stages that follow each other; a task becomes as many as tasks have become so far, else one."""
    loads: list[Load] = []
    room = room_of(nodes)
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
                need=_part_of(stage.need, room, capacity),
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
