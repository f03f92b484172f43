"""Which nodes can hold the workers of a stage, and what a run does when the last one has gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from curator_slurm.executors.ray_internals import is_head
from curator_slurm.executors.task_failures import DoesNotFitError, LastNodeLostError

log = logging.getLogger(__name__)

NODE_PATIENCE_S = 60.0
"""How long a stage waits for a node to join that could hold its workers, where the last one has gone."""
_POLL_S = 1.0
_TOLERANCE = 1e-6
_Placed = TypeVar("_Placed")


@dataclass(frozen=True)
class NodePatience:
    """How long a run waits for a node that could hold its workers, and how often it looks.

    Without `seconds` it waits NODE_PATIENCE_S where it has lost its last one, and not at its start.
    """

    seconds: float | None = None
    interval_s: float = _POLL_S

    @property
    def limit_s(self) -> float:
        """The longest wait after a loss."""
        return NODE_PATIENCE_S if self.seconds is None else self.seconds


@dataclass(frozen=True)
class Need:
    """What one worker takes."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"

    def within(self, cpus: float, gpus: float) -> bool:
        """Whether so many CPUs and GPUs are enough."""
        return self.cpus <= cpus + _TOLERANCE and self.gpus <= gpus + _TOLERANCE


@dataclass(frozen=True)
class ClusterNode:
    """What an alive Ray node offers."""

    node_id: str
    cpus: float
    gpus: float = 0.0


def usable_nodes(listed: Iterable[Mapping[str, Any]], *, ignore_head_node: bool) -> list[ClusterNode]:
    """The alive nodes of `ray.nodes()`, without the head where workers are to keep off it."""
    return [
        ClusterNode(node["NodeID"], float(resources.get("CPU", 0)), float(resources.get("GPU", 0)))
        for node in listed
        if node.get("Alive")
        for resources in [node.get("Resources", {})]
        if not (ignore_head_node and is_head(node))
    ]


def head_node_id(listed: Iterable[Mapping[str, Any]]) -> str | None:
    """The id of the alive head node."""
    return next((node["NodeID"] for node in listed if node.get("Alive") and is_head(node)), None)


def shrunk(need: Need, nodes: Iterable[ClusterNode]) -> Need:
    """The need with no more CPUs than the largest node with enough GPUs has: CPUs can be shared, GPUs cannot."""
    cpus = max((node.cpus for node in nodes if need.within(need.cpus, node.gpus)), default=need.cpus)
    return Need(min(need.cpus, cpus), need.gpus)


def check_fits(stage: str, need: Need, nodes: Sequence[ClusterNode]) -> None:
    """Refuse what cannot be.

    Raises:
        DoesNotFitError: no node could hold a worker of the stage.
    """
    if not nodes:
        raise DoesNotFitError("no node is left for workers: Ray has its head node only, and ignore_head_node is set")
    if not any(need.within(node.cpus, node.gpus) for node in nodes):
        raise DoesNotFitError(
            f"stage {stage!r} needs {need} per worker, and no node has that; nodes: {_described(nodes)}. Give the "
            "nodes more of them, or lower `resources` of the stage."
        )


USUAL = NodePatience()
"""Of the executors that have no option for it."""


def placed_at_start(place: Callable[[], _Placed], patience: NodePatience) -> _Placed:
    """What `place` returns; it is called again only where somebody has said how long to wait.

    Raises:
        DoesNotFitError: no node can hold what is to be placed.
    """
    return place() if patience.seconds is None else _placed(place, patience)


def placed_after_loss(place: Callable[[], _Placed], patience: NodePatience = USUAL) -> _Placed:
    """What `place` returns, which is called again while the nodes that are left are too few.

    Raises:
        LastNodeLostError: they still are.
    """
    try:
        return _placed(place, patience)
    except DoesNotFitError as error:
        raise LastNodeLostError(
            f"nodes have gone, and none has joined within {patience.limit_s:g} s that could take their place: {error}"
        ) from None


def _placed(place: Callable[[], _Placed], patience: NodePatience) -> _Placed:
    deadline = time.monotonic() + patience.limit_s
    waits = False
    while True:
        try:
            return place()
        except DoesNotFitError as error:
            if time.monotonic() >= deadline:
                raise
            if not waits:
                log.warning("waiting up to %g s for another node: %s", patience.limit_s, error)
            waits = True
            time.sleep(patience.interval_s)


def lost_last_node(stage: str, need: Need, nodes: Sequence[ClusterNode]) -> LastNodeLostError | None:
    """The error of a stage that no node could hold a worker of, if there were nothing else on it."""
    if any(need.within(node.cpus, node.gpus) for node in nodes):
        return None
    return LastNodeLostError(
        f"stage {stage!r} has lost the last node that a worker of it could run on; it needs {need}, "
        f"nodes: {_described(nodes)}"
    )


def _described(nodes: Sequence[ClusterNode]) -> str:
    return ", ".join(str(Need(node.cpus, node.gpus)) for node in nodes) or "none"


class NodeWait:
    """Waits for another node where a stage has lost the last one that could hold its workers."""

    def __init__(self, patience: NodePatience = USUAL) -> None:
        self._patience = patience
        self._since: dict[int, float] = {}

    def check(self, needs: Mapping[int, tuple[str, Need]], nodes: Sequence[ClusterNode], now: float) -> None:
        """Look again; `needs` are the names and needs of the unfinished stages, by position.

        Raises:
            LastNodeLostError: one of them has waited long enough.
        """
        missing = {
            index: error for index, (stage, need) in needs.items() if (error := lost_last_node(stage, need, nodes))
        }
        self._since = {index: self._since.get(index, now) for index in missing}
        for index, error in missing.items():
            if now - self._since[index] > self._patience.limit_s:
                raise error
