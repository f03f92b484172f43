"""Which nodes can hold the workers of a stage, and what a run does when the last one has gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from curator_slurm.common.group_label import GROUP_LABEL
from curator_slurm.common.in_words import several
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
    group: str | None = None
    """The only group of nodes that it may be on."""

    def __str__(self) -> str:
        where = "" if self.group is None else f" in group {self.group}"
        return f"{several(self.cpus, 'CPU')} and {several(self.gpus, 'GPU')}{where}"

    def allows(self, group: str | None) -> bool:
        """Whether it may be on nodes of a group; nodes that have none, as on one machine, take everything."""
        return self.group is None or group is None or self.group == group

    def within(self, cpus: float, gpus: float) -> bool:
        """Whether so many CPUs and GPUs are enough."""
        return self.cpus <= cpus + _TOLERANCE and self.gpus <= gpus + _TOLERANCE


@dataclass(frozen=True)
class ClusterNode:
    """What an alive Ray node offers."""

    node_id: str
    cpus: float
    gpus: float = 0.0
    group: str | None = None

    def __str__(self) -> str:
        return str(Need(self.cpus, self.gpus, self.group))

    def holds(self, need: Need) -> bool:
        """Whether there would be room for it if there were nothing else here."""
        return need.allows(self.group) and need.within(self.cpus, self.gpus)


def need_of(stage: Any, cpus: float | None = None) -> Need:
    """What a worker of a stage takes, with `cpus` in place of its own; resources of NeMo Curator have no group."""
    resources = stage.resources
    own = float(resources.cpus) if cpus is None else cpus
    return Need(own, float(resources.gpus), getattr(resources, "group", None))


def usable_nodes(listed: Iterable[Mapping[str, Any]], *, ignore_head_node: bool) -> list[ClusterNode]:
    """The alive nodes of `ray.nodes()`, without the head where workers are to keep off it."""
    return [
        ClusterNode(
            node["NodeID"],
            float(resources.get("CPU", 0)),
            float(resources.get("GPU", 0)),
            (node.get("Labels") or {}).get(GROUP_LABEL),
        )
        for node in listed
        if node.get("Alive")
        for resources in [node.get("Resources", {})]
        if not (ignore_head_node and is_head(node))
    ]


def count_nodes(listed: Iterable[Mapping[str, Any]], need: Need, *, ignore_head_node: bool) -> int:
    """How many nodes a worker with this need may be on, as far as groups and the head are concerned."""
    return sum(need.allows(node.group) for node in usable_nodes(listed, ignore_head_node=ignore_head_node))


def group_selector(group: str | None, nodes: Iterable[ClusterNode]) -> dict[str, str]:
    """Ray's label selector of workers that may be on the nodes of a group only; empty where no node is in any."""
    known = any(node.group is not None for node in nodes)
    return {GROUP_LABEL: group} if known and group is not None else {}


def head_node_id(listed: Iterable[Mapping[str, Any]]) -> str | None:
    """The id of the alive head node."""
    return next((node["NodeID"] for node in listed if node.get("Alive") and is_head(node)), None)


def shrunk(need: Need, nodes: Iterable[ClusterNode]) -> Need:
    """The need with no more CPUs than the largest node with enough GPUs has: CPUs can be shared, GPUs cannot."""
    fitting = (node.cpus for node in nodes if need.allows(node.group) and need.within(need.cpus, node.gpus))
    return replace(need, cpus=min(need.cpus, max(fitting, default=need.cpus)))


def check_fits(stage: str, need: Need, nodes: Sequence[ClusterNode]) -> None:
    """Refuse what cannot be.

    Raises:
        DoesNotFitError: no node could hold a worker of the stage.
    """
    if not nodes:
        raise DoesNotFitError("no node is left for workers: Ray has its head node only, and ignore_head_node is set")
    if not any(need.allows(node.group) for node in nodes):
        known = ", ".join(sorted({node.group for node in nodes if node.group is not None})) or "none"
        raise DoesNotFitError(
            f"stage {stage!r} asks for nodes of group {need.group!r} (`group` of its resources), and no node for "
            f"workers is in it; groups: {known}"
        )
    if not any(node.holds(need) for node in nodes):
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
    if any(node.holds(need) for node in nodes):
        return None
    return LastNodeLostError(
        f"stage {stage!r} has lost the last node that a worker of it could run on; it needs {need}, "
        f"nodes: {_described(nodes)}"
    )


def _described(nodes: Sequence[ClusterNode]) -> str:
    return ", ".join(map(str, nodes)) or "none"


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
