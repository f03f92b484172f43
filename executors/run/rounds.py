"""A run in rounds: when results are lost with their node, the engine starts again with what is missing.

A round succeeds, or ends with the error that the loss has led to. Only a loss starts another round: an exception of a
stage or the limit on failed tasks ends the run, whatever happened to nodes. Before a round the stages are placed on the
nodes: what does not fit is refused at once before the first one, and waits for other nodes after a loss.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.placement import USUAL, NodePatience, placed_after_loss, placed_at_start
from curator_slurm.executors.run.ray_errors import results_lost, worker_is_silent
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import (
    ExecutorError,
    LastNodeLostError,
    LostTasksError,
    ObjectsLostError,
    WorkerLostError,
    short_error,
)

log = logging.getLogger(__name__)

_MAX_FRUITLESS = 3
"""How many rounds in a row may end in a loss without a single source being finished."""
_NOTICE_S = 75.0
"""How long Ray may take after a loss to declare the node dead: five missed health checks."""
_Placed = TypeVar("_Placed")


class Losses:
    """Decides whether a round's error comes from the loss of a node; created when the round begins.

    By the nodes that are dead: one that has joined since may be lost as well.
    """

    def __init__(self, dead_nodes: Callable[[], set[str]]) -> None:
        self._dead_nodes = dead_nodes
        self._at_start = dead_nodes()

    def explain(self, error: BaseException) -> bool:
        """Whether this error comes from lost nodes or objects; waits until Ray knows about the node."""
        if isinstance(error, LastNodeLostError):
            return False
        ours = isinstance(error, ExecutorError)
        if ours and not isinstance(error, (ObjectsLostError, WorkerLostError, LostTasksError)):
            return False
        lost_objects = results_lost(error)
        if not lost_objects and not worker_is_silent(error):
            return self._node_is_gone()
        deadline = time.monotonic() + _NOTICE_S
        while not self._node_is_gone() and time.monotonic() < deadline:
            time.sleep(0.5)
        return lost_objects or self._node_is_gone()

    def _node_is_gone(self) -> bool:
        return bool(self._dead_nodes() - self._at_start)


def run_rounds(
    place: Callable[[], _Placed],
    run_round: Callable[[_Placed], None],
    monitor: RunMonitor,
    sources: Sources,
    dead_nodes: Callable[[], set[str]],
    patience: NodePatience = USUAL,
) -> None:
    """Call `run_round`, which runs what is not finished of the sources, until it returns.

    It gets what `place` returns, which looks anew at the nodes that are there.

    Raises:
        DrainedError: the run is to drain: no round begins any more.
        DoesNotFitError: `place` raised it at the start, until the patience was over, if there is any.
        LastNodeLostError: `place` raised it after a loss, until the patience was over.
        Exception: whatever a round raised for another reason than a loss, or too often without getting any further.
    """
    fruitless, settled = 0, (0, -1)
    lost = False
    while True:
        monitor.drain.check_begin()
        losses = Losses(dead_nodes)
        try:
            return run_round(placed_after_loss(place, patience) if lost else placed_at_start(place, patience))
        except Exception as error:
            if not losses.explain(error):
                raise
            now_settled = (sources.first_stage, sources.settled_count)
            fruitless = fruitless + 1 if now_settled <= settled else 1
            settled = now_settled
            if fruitless > _MAX_FRUITLESS:
                raise
            lost = True
            sources.restart()
            monitor.restore(sources.settled, sources.failures)
            monitor.checkpoint.restart(sources.first_stage, sources.unfinished, sources.failures)
            log.warning(
                "a node or its results were lost (%s); %d of %d sources are finished, the others run again",
                short_error(error), sources.settled_count, sources.count,
            )  # fmt: skip
