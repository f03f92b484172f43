"""How many workers each stage has: started where work waits, retired where it does not.

Every stage starts with one worker (or what it asks for). A stage whose queue would keep its workers busy for longer
than it takes to start another one gets another one. Where the cluster is full, workers move from stages that have
less to do; where it is too small to hold one worker of every stage, the stages take turns.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from curator_slurm.executors.backends._pool_nodes import Nodes
from curator_slurm.executors.backends._pool_stage import StageState, Worker

log = logging.getLogger(__name__)

_PERIOD_S = 0.25
_IDLE_S = 10.0
_PATIENCE_S = 3.0
_MIN_LIFE_S = 5.0


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
        self._initial = {stage.index: stage.initial_workers for stage in stages}

    def step(self) -> None:
        """Look at all stages; cheap enough for every turn of the loop."""
        now = time.monotonic()
        for stage in self._stages:
            self._start_first(stage, now)
        if now - self._last < _PERIOD_S:
            return
        self._last = now
        self._nodes.refresh()
        for stage in sorted(self._stages, key=lambda stage: stage.backlog_s(now), reverse=True):
            self._grow(stage, now)
        for stage in self._stages:
            self._shrink(stage, now)

    def _start_first(self, stage: StageState, now: float) -> None:
        """The workers a stage begins with, and one again if it has lost them all."""
        if stage.finished:
            return
        while self._initial[stage.index] > 0 and self._start_one(stage):
            self._initial[stage.index] -= 1
        wanted = stage.fixed or (1 if stage.can_form_batch and not self._blocked(stage) else 0)
        while len(stage.workers) < wanted and self._start_one(stage):
            pass
        starved = not stage.workers and stage.can_form_batch and not self._blocked(stage)
        if not starved:
            stage.starved_since = None
            return
        stage.starved_since = stage.starved_since or now
        self._make_room(stage, now - stage.starved_since, now)

    def _start_one(self, stage: StageState) -> bool:
        node_id = self._nodes.place(stage.need)
        if node_id is None:
            return False
        self._start(stage, node_id)
        return True

    def _make_room(self, stage: StageState, waited: float, now: float) -> None:
        """End a worker of another stage, the least busy one, for a stage that has none."""
        if any(worker.retiring for other in self._stages for worker in other.workers):
            return
        others = [other for other in self._stages if other is not stage and other.workers]
        resting = [other for other in others if not other.calls and (not other.can_form_batch or self._blocked(other))]
        if resting:
            self._retire(max(resting, key=lambda other: len(other.workers)).workers[-1])
            return
        several = [other for other in others if len(other.workers) > 1]
        if several and waited > _PATIENCE_S / 3:
            self._retire(self._least_busy(max(several, key=lambda other: len(other.workers))))
            return
        old = [other for other in others if now - other.workers[0].born > _MIN_LIFE_S + other.startup_s]
        if old and waited > _PATIENCE_S:
            self._retire(old[0].workers[0])

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
        if self._start_one(stage) or now - self._moved < 2.0:
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
