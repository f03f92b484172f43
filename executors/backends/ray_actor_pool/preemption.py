"""Which workers are ended for a stage that has work and no worker, on a cluster that is full."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from curator_slurm.executors.backends.ray_actor_pool.nodes import NodeCapacity, Nodes
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker
from curator_slurm.executors.run.placement import Need

_PATIENCE_S = 3.0
_MIN_LIFE_S = 5.0

Ranked = tuple[int, int, int, float]
"""What makes a worker the next to end: how much its stage needs it, then how many workers the stage has."""


def has_pending_capacity(stage: StageState, stages: Sequence[StageState], nodes: Nodes) -> bool:
    """Whether the workers that are about to end free enough of some node for a worker of the stage."""
    pending = (pending_capacity(node, stages) for node in nodes.fitting(stage.need))
    return any(stage.need.within(capacity.cpus, capacity.gpus) for capacity in pending)


def preemption_candidates(
    stage: StageState,
    stages: Sequence[StageState],
    nodes: Nodes,
    now: float,
    blocked: Callable[[StageState], bool],
) -> list[Worker]:
    """The workers on one node to end for the stage; none as long as that would cost more than waiting.

    Those of a stage that has nothing to do end at once, those of a stage with several after a second, and the last one
    of a stage after it has had its turn.
    """
    waited = now - (stage.starved_since or now)
    ranked = [entry for other in stages if other is not stage for entry in _ranked(other, waited, now, blocked)]
    best: tuple[Ranked, list[Worker]] | None = None
    for node in nodes.fitting(stage.need):
        have = pending_capacity(node, stages)
        chosen: list[Worker] = []
        rank: Ranked = (0, 0, 0, 0.0)
        for entry, worker in sorted((entry for entry in ranked if entry[1].node_id == node.node_id), key=_rank):
            need = stages[worker.stage].need
            more_cpus = need.cpus and not Need(stage.need.cpus, 0).within(have.cpus, 0)
            more_gpus = need.gpus and not Need(0, stage.need.gpus).within(0, have.gpus)
            if more_cpus or more_gpus:
                chosen.append(worker)
                have = _sum(have, [need])
                rank = entry
        for worker in list(chosen):  # the others may be enough
            need = stages[worker.stage].need
            without = _sum(have, [Need(-need.cpus, -need.gpus)])
            if stage.need.within(without.cpus, without.gpus):
                chosen.remove(worker)
                have = without
        if chosen and stage.need.within(have.cpus, have.gpus) and (best is None or rank < best[0]):
            best = rank, chosen
    return best[1] if best is not None else []


def pending_capacity(node: NodeCapacity, stages: Sequence[StageState]) -> Need:
    """What is free on a node, together with what the workers that are about to end hold there."""
    going = [
        other.need
        for other in stages
        for worker in [*other.leaving, *(worker for worker in other.workers if worker.retiring)]
        if worker.node_id == node.node_id
    ]
    return _sum(Need(node.free_cpus, node.free_gpus), going)


def _ranked(
    other: StageState, waited: float, now: float, blocked: Callable[[StageState], bool]
) -> list[tuple[Ranked, Worker]]:
    """The workers of a stage that may end by now, the least busy ones first."""
    workers = sorted(
        (worker for worker in other.workers if not worker.retiring),
        key=lambda worker: (len(worker.calls), -worker.born),
    )
    crowd = -len(workers)
    if not other.calls and (not other.can_form_batch or blocked(other)):
        return [((0, crowd, 0, -worker.born), worker) for worker in workers]
    found: list[tuple[Ranked, Worker]] = []
    if waited > _PATIENCE_S / 3:
        found += [((1, crowd, len(worker.calls), -worker.born), worker) for worker in workers[:-1]]
    if waited > _PATIENCE_S:
        found += [
            ((2, crowd, len(worker.calls), worker.born), worker)
            for worker in workers[-1:]
            if now - worker.born > _MIN_LIFE_S + other.startup_s
        ]
    return found


def _rank(entry: tuple[Ranked, Worker]) -> Ranked:
    return entry[0]


def _sum(have: Need, more: Iterable[Need]) -> Need:
    given = list(more)
    return Need(have.cpus + sum(need.cpus for need in given), have.gpus + sum(need.gpus for need in given))
