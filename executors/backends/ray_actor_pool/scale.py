"""Starts workers where work waits and ends them where others need their room more.

Every stage starts with one worker (or what it asks for), so that its model loads while the stages before it work. As
soon as it is known how long a batch takes, or after a second where more batches wait than the nodes have room for, a
stage gets all of the workers that `shares` gives it, at once. Where the cluster is full, workers move (`moves`). Where
it is too small to hold one worker of every stage, the stages take turns. A stage's further workers, also those it has
asked for, never take the resources of a stage that has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from curator_slurm.executors.backends.ray_actor_pool.demand import loads_of, targets_of
from curator_slurm.executors.backends.ray_actor_pool.moves import workers_to_end
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.preemption import has_pending_capacity, preemption_candidates
from curator_slurm.executors.backends.ray_actor_pool.shares import Load, finish_s
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker

_PERIOD_S = 0.1
_IDLE_S = 10.0
_SOON_S = 1.0
_LATE_S = 4.0
_AT_ONCE_S = 0.3


class Scaler:
    """Decides; `start` and `retire` do. `blocked` says whether back pressure holds a stage."""

    def __init__(
        self,
        stages: Sequence[StageState],
        nodes: Nodes,
        start: Callable[[StageState, str], None],
        retire: Callable[[Worker], None],
        blocked: Callable[[StageState], bool],
    ) -> None:
        self._stages = stages
        self._nodes = nodes
        self._start = start
        self._retire = retire
        self._blocked = blocked
        self._last = 0.0
        self._begun: dict[int, int] = {}

    def step(self) -> None:
        """Look at all stages; cheap enough for every iteration of the loop."""
        now = time.monotonic()
        self._feed_starved(now)
        self._start_initial()
        if now - self._last < _PERIOD_S:
            return
        self._last = now
        self._nodes.refresh()
        stages = [stage for stage in self._stages if not stage.finished]
        loads = loads_of(stages, self._nodes, now, self._blocked)
        targets = targets_of(stages, loads, self._nodes)
        slowness = [finish_s(load, len(stage.active)) for load, stage in zip(loads, stages, strict=True)]
        for index in sorted(range(len(stages)), key=lambda index: (-stages[index].need.gpus, -slowness[index])):
            self._grow(stages[index], targets[index], loads[index], now, alone=len(stages) == 1)
        for index, stage in enumerate(stages):
            self._shrink(stage, targets[index], loads[index], now)
        for worker in workers_to_end(self._stages, stages, loads, targets, self._nodes, now):
            self._retire(worker)

    # -- the first worker of a stage

    def _starved(self) -> list[StageState]:
        """Stages with work and without a worker, those first that have waited longest."""
        found = []
        for stage in self._stages:
            if not stage.finished and not stage.workers and stage.can_form_batch and not self._blocked(stage):
                found.append(stage)
            else:
                stage.starved_since = None
        return sorted(found, key=lambda stage: stage.starved_since or float("inf"))

    def _feed_starved(self, now: float) -> None:
        waiting: list[StageState] = []
        for stage in self._starved():
            if self._start_one(stage, waiting):
                stage.starved_since = None
                continue
            waiting.append(stage)
            stage.starved_since = stage.starved_since or now
            if not has_pending_capacity(stage, self._stages, self._nodes):
                for worker in preemption_candidates(stage, self._stages, self._nodes, now, self._blocked):
                    self._retire(worker)

    def _start_initial(self) -> None:
        """The workers a stage begins with; and up to its fixed number, also after a death."""
        starved = [stage for stage in self._stages if stage.starved_since is not None]
        for stage in self._stages:
            if not stage.finished and not stage.workers and not self._begun.get(stage.index):
                self._start_one(stage, [other for other in starved if other is not stage])
        for stage in self._stages:
            while stage.workers and not stage.finished and not self._blocked(stage):
                missing = self._begun[stage.index] < stage.initial_workers or len(stage.workers) < (stage.fixed or 0)
                if not missing or not self._start_one(stage, self._first_in_line()):
                    break

    def _first_in_line(self) -> list[StageState]:
        """Stages without a worker whose resources others must not take: they are free, or are being freed."""
        without = [stage for stage in self._stages if not stage.finished and not stage.workers]
        return [stage for stage in without if stage.starved_since is not None or self._nodes.fits(stage.need)]

    def _start_one(self, stage: StageState, leaving: Sequence[StageState] = ()) -> bool:
        """Start a worker if it fits beside one worker of each of `leaving`."""
        boundless = not stage.need.cpus and not stage.need.gpus  # takes no resources, so it must be bounded here
        if boundless and len(stage.workers) + len(stage.leaving) >= self._nodes.capacity(stage.need):
            return False
        node_id = self._nodes.place(stage.need, [other.need for other in leaving])
        if node_id is None:
            return False
        self._begun[stage.index] = self._begun.get(stage.index, 0) + 1
        self._start(stage, node_id)
        return True

    # -- more and fewer

    def _grow(self, stage: StageState, target: int, load: Load, now: float, *, alone: bool) -> None:
        if stage.fixed or not stage.workers or self._blocked(stage):
            return
        if not may_fill(stage, load, now, alone=alone):
            target = min(target // 2, len(self._nodes.empty())) if load.batches >= 2 * target else 0
        while len(stage.active) < target and self._start_one(stage, self._first_in_line()):
            pass

    def _shrink(self, stage: StageState, target: int, load: Load, now: float) -> None:
        """End workers that nobody waits for, and those that would be ready only when the work is done."""
        spare = len(stage.active) - max(target, stage.min_workers)
        ready = sum(worker.ready for worker in stage.active)
        late = load.batch_s is not None and ready > 0 and finish_s(load, ready) < _SOON_S
        for worker in stage.active:
            idle = worker.idle and now - worker.idle_since > max(_IDLE_S, 3 * stage.startup_s)
            if spare > 0 and (idle or (late and not worker.ready)):
                self._retire(worker)
                spare -= 1


def may_fill(stage: StageState, load: Load, now: float, *, alone: bool) -> bool:
    """Whether enough is known, or has been waited for, to start all the workers of a stage.

    Of several stages each could be given what belongs to another: then it is waited until a process is up, and has
    neither been through with setup nor with a batch at once.
    """
    if load.batch_s is not None or stage.need.gpus:
        return True
    if not stage.coming and not len(stage.queue):
        return False
    up = [now - worker.up_since for worker in stage.workers if worker.up_since is not None]
    age = now - min(worker.born for worker in stage.workers)
    return age > (_SOON_S if alone else _LATE_S) or max(up, default=0.0) > _AT_ONCE_S
