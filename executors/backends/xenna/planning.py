"""The plans of one run: what its pools and its progress say, and the decisions of `plans`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curator_slurm.executors.backends.xenna.engine.solver import StageChange
from curator_slurm.executors.backends.xenna.plans import Counts, Pace, StageFacts, pays
from curator_slurm.executors.ray_connection import alive_nodes

if TYPE_CHECKING:
    from curator_slurm.executors.backends.xenna.run import XennaRun


class RunPlans:
    """Asked by the engine's solver, from a thread of its own."""

    def __init__(self, run: XennaRun, latest_s: float) -> None:
        self._run = run
        self._pace = Pace(latest_s)
        self._first = True

    def due(self) -> bool:
        """Whether to look for a better plan now."""
        return self._pace.due(self._facts(), time.monotonic())

    def accepts(self, changes: Sequence[StageChange]) -> bool:
        """The first plan is followed as it is; a later one if it pays, and places workers on nodes that there are."""
        counts = [Counts(change.added, change.removed) for change in changes]
        nodes = {node for change in changes for node in change.nodes}
        accepted = self._first or (pays(self._facts(), counts) and nodes <= alive_nodes())
        self._first = False
        self._pace.judged(accepted=accepted)
        return accepted

    def slots(self) -> list[int]:
        """Calls that a worker of each stage holds at once."""
        return [pool.slots for pool in self._run.pools]

    def _facts(self) -> list[StageFacts]:
        run = self._run
        left = run.monitor.progress.left()[run.offset :]
        return [
            StageFacts(
                workers=pool.worker_count,
                starting=pool.starting_count,
                done=pool.stopped,
                calls=run.calls[stage],
                task_s=run.task_s.get(stage),
                left=left[index],
                start_s=pool.start_s,
                limit=run.worker_limit(stage),
            )
            for index, pool in enumerate(run.pools)
            for stage in (index + run.offset,)
        ]
