"""A run in rounds: when a node takes results with it that only it held, the engine starts again with what is missing.

A round ends well, or with the error that the loss has led to. Only a loss starts another round: an exception of a
stage or a limit on failed tasks is the run's end, whatever happened to nodes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import (
    ExecutorError,
    LostTasksError,
    ObjectsLostError,
    WorkerLostError,
    short_error,
)

log = logging.getLogger(__name__)

_MAX_FRUITLESS = 3
"""How many rounds in a row may end in a loss without settling a single source."""
_NOTICE_S = 75.0
"""How long after a loss Ray may take to call the node dead: five missed health checks."""
NODE_PATIENCE_S = 60.0
"""How long a stage waits for a node to join that could hold its workers, where the last one has gone."""
LOST_OBJECTS = ("ObjectLost", "ObjectsLost", "ObjectFetch", "ObjectReconstruction", "OwnerDied", "NodeDied")
"""How the names of Ray's errors begin that tell of lost objects."""
LOST_WORKERS = ("Actor", "RayActor", "TaskUnschedulable", "Worker", "LocalRaylet", "OutOfMemory")
"""And those of lost workers, or of work that has no node any more."""

OUT_OF_REACH = ("ActorUnavailable",)
"""And of a worker that does not answer: its node may be dead and Ray not know it yet."""


class Losses:
    """Decides whether a round's error is the loss of a node; made when the round begins."""

    def __init__(self, alive_nodes: Callable[[], set[str]]) -> None:
        self._alive_nodes = alive_nodes
        self._at_start = alive_nodes()

    def explain(self, error: BaseException) -> bool:
        """Whether this error comes of nodes or objects that are gone; waits until Ray knows about the node."""
        ours = isinstance(error, ExecutorError)
        if ours and not isinstance(error, (ObjectsLostError, WorkerLostError, LostTasksError)):
            return False
        lost_objects = tells_of(LOST_OBJECTS, error)
        if not lost_objects and not tells_of(OUT_OF_REACH, error):
            return self._node_is_gone()
        deadline = time.monotonic() + _NOTICE_S
        while not self._node_is_gone() and time.monotonic() < deadline:
            time.sleep(0.5)
        return lost_objects or self._node_is_gone()

    def _node_is_gone(self) -> bool:
        return bool(self._at_start - self._alive_nodes())


def run_rounds(
    play: Callable[[], None], monitor: RunMonitor, sources: Sources, alive_nodes: Callable[[], set[str]]
) -> None:
    """Call `play`, which runs what is not finished of the sources, until it returns.

    Raises:
        Exception: whatever `play` raised for another reason than a loss, or too often without getting any further.
    """
    fruitless, settled = 0, (0, -1)
    while True:
        losses = Losses(alive_nodes)
        try:
            return play()
        except Exception as error:
            if not losses.explain(error):
                raise
            now_settled = (sources.first_stage, sources.settled_count)
            fruitless = fruitless + 1 if now_settled <= settled else 1
            settled = now_settled
            if fruitless > _MAX_FRUITLESS:
                raise
            sources.restart()
            monitor.restore(sources.settled, sources.failures)
            monitor.checkpoint.restart(sources.first_stage, sources.unfinished, sources.failures)
            log.warning(
                "a node, or what only it held, is gone (%s); %d of %d sources are finished, the others run again",
                short_error(error), sources.settled_count, sources.count,
            )  # fmt: skip


def tells_of(names: tuple[str, ...], error: BaseException) -> bool:
    """Whether the error, or one that it wraps, is of a class whose name begins like this, or derived from one."""
    return any(cls.__name__.startswith(names) for cause in causes(error) for cls in type(cause).__mro__)


def causes(error: BaseException) -> list[BaseException]:
    """An error and all that it wraps, Ray's wrappers included."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if not isinstance(current, BaseException) or any(current is other for other in seen):
            continue
        seen.append(current)
        waiting += [getattr(current, "cause", None), current.__cause__, current.__context__]
    return seen
