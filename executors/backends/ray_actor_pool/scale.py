"""How many workers each stage has: started where work waits, retired where it does not.

Every stage starts with one worker (or what it asks for). A stage whose queue would keep its workers busy for longer
than it takes to start another one gets another one. Where the cluster is full, workers move from stages that have
less to do; where it is too small to hold one worker of every stage, the stages take turns. A stage's further workers,
also those it has asked for, never take the resources of a stage that has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.preemption import has_pending_capacity, preemption_candidates
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker

_PERIOD_S = 0.25
_IDLE_S = 10.0


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
        self._moved = 0.0
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
        for stage in sorted(self._stages, key=lambda stage: stage.backlog_s(now), reverse=True):
            self._grow(stage, now)
        for stage in self._stages:
            self._shrink(stage, now)

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

    def _grow(self, stage: StageState, now: float) -> None:
        if stage.finished or stage.fixed or not stage.workers or self._blocked(stage):
            return
        count = len(stage.workers)
        starting = sum(not worker.ready for worker in stage.workers)
        waiting = len(stage.queue) / stage.batch_size
        if starting > count // 2 or count >= stage.max_workers or waiting < count:
            return
        backlog = stage.backlog_s(now)
        if backlog < max(1.0, stage.startup_s):
            return
        if self._start_one(stage, self._first_in_line()) or now - self._moved < 2.0:
            return
        donors = [
            other
            for other in self._stages
            if other is not stage and len(other.workers) > other.min_workers and other.backlog_s(now) < 0.2 * backlog
        ]
        if donors and not any(worker.retiring for other in self._stages for worker in other.workers):
            self._moved = now
            self._retire(self._least_busy(max(donors, key=lambda other: len(other.workers))))

    def _shrink(self, stage: StageState, now: float) -> None:
        spare = len(stage.workers) - stage.min_workers
        for worker in list(stage.workers):
            if spare > 0 and worker.idle and now - worker.idle_since > _IDLE_S:
                self._retire(worker)
                spare -= 1

    @staticmethod
    def _least_busy(stage: StageState) -> Worker:
        return min(stage.workers, key=lambda worker: (len(worker.calls), worker.born))
