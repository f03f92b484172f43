"""On which nodes workers are placed: the driver's own account of the CPUs and GPUs of every node."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.executors.run.placement import ClusterNode, Need, usable_nodes
from curator_slurm.executors.task_failures import DoesNotFitError

_EPSILON = 1e-6
_REFRESH_S = 5.0


@dataclass
class NodeCapacity:
    """One Ray node with what is left of it."""

    node_id: str
    cpus: float
    gpus: float
    free_cpus: float
    free_gpus: float
    group: str | None = None

    def fits(self, need: Need) -> bool:
        return need.allows(self.group) and need.within(self.free_cpus, self.free_gpus)

    def leaves(self, need: Need, other: Need) -> bool:
        """Whether a worker here would take nothing that `other` still waits for."""
        if not self.could_fit(other):
            return True
        short_of_cpus = need.cpus > 0 and self.free_cpus - need.cpus + _EPSILON < other.cpus
        short_of_gpus = need.gpus > 0 and self.free_gpus - need.gpus + _EPSILON < other.gpus
        return not short_of_cpus and not short_of_gpus

    def could_fit(self, need: Need) -> bool:
        return need.allows(self.group) and need.within(self.cpus, self.gpus)

    @classmethod
    def empty(cls, node_id: str, cpus: float, gpus: float, group: str | None) -> NodeCapacity:
        return cls(node_id, cpus, gpus, cpus, gpus, group)


class Nodes:
    """All nodes that workers may use. Nodes that join later are found, nodes that die are dropped."""

    def __init__(
        self,
        list_nodes: Callable[[], list[dict[str, Any]]],
        *,
        ignore_head_node: bool = False,
        reserved_cpus: float = 0.0,
        reserved_gpus: float = 0.0,
    ) -> None:
        self._list_nodes = list_nodes
        self._ignore_head = ignore_head_node
        self._reserved = Need(reserved_cpus, reserved_gpus)
        self._nodes: dict[str, NodeCapacity] = {}
        self._refreshed = 0.0
        self.refresh(force=True)
        self._reserve()

    def refresh(self, *, force: bool = False) -> None:
        """Take note of nodes that joined or left, every few seconds."""
        now = time.monotonic()
        if not force and now - self._refreshed < _REFRESH_S:
            return
        self._refreshed = now
        alive = usable_nodes(self._list_nodes(), ignore_head_node=self._ignore_head)
        for node in alive:
            if node.node_id not in self._nodes:
                self._nodes[node.node_id] = NodeCapacity.empty(node.node_id, node.cpus, node.gpus, node.group)
        for gone in set(self._nodes) - {node.node_id for node in alive}:
            del self._nodes[gone]

    def is_alive(self, node_id: str) -> bool:
        return node_id in self._nodes

    def empty(self) -> list[ClusterNode]:
        """What the nodes would offer if there were nothing on them."""
        return [ClusterNode(node.node_id, node.cpus, node.gpus, node.group) for node in self._nodes.values()]

    def count(self, need: Need) -> int:
        """How many nodes such a worker may be on."""
        return sum(need.allows(node.group) for node in self._nodes.values())

    def capacity(self, need: Need) -> int:
        """How many such workers all nodes hold at most; of those that need nothing, one for each CPU."""
        total = 0
        for node in self._nodes.values():
            if not need.allows(node.group):
                continue
            limits = [int((have + _EPSILON) / want) for have, want in self._ratios(node, need) if want > 0]
            total += min(limits, default=int(node.cpus + _EPSILON))
        return total if need.cpus or need.gpus else max(1, total)

    def place(self, need: Need, leaving: Iterable[Need] = ()) -> str | None:
        """Reserve the resources of a worker on the node with the most of them free; None if no node has them now.

        `leaving`: needs that must still fit afterwards, where they could at all.
        """
        others = list(leaving)
        candidates = [
            node
            for node in self._nodes.values()
            if node.fits(need) and all(node.leaves(need, other) or self.fits(other, beside=node) for other in others)
        ]
        if need.gpus == 0:  # keep GPU nodes for those who need them, where there is a choice
            candidates = [node for node in candidates if node.gpus == 0] or candidates
        if not candidates:
            return None
        best = max(candidates, key=lambda node: (node.free_gpus if need.gpus else 0, node.free_cpus))
        best.free_cpus -= need.cpus
        best.free_gpus -= need.gpus
        return best.node_id

    def give_back(self, node_id: str, need: Need) -> None:
        node = self._nodes.get(node_id)
        if node is not None:
            node.free_cpus += need.cpus
            node.free_gpus += need.gpus

    def all_free(self) -> Nodes:
        """The same nodes with nothing on them, to try out what would fit."""
        empty = Nodes(list)
        for node in self._nodes.values():
            empty._nodes[node.node_id] = NodeCapacity.empty(node.node_id, node.cpus, node.gpus, node.group)
        return empty

    def fits(self, need: Need, beside: NodeCapacity | None = None) -> bool:
        """Whether a worker fits now, on a node other than `beside`."""
        return any(node.fits(need) for node in self._nodes.values() if node is not beside)

    def fitting(self, need: Need) -> list[NodeCapacity]:
        """Nodes that could hold such a worker if there were nothing else on them."""
        return [node for node in self._nodes.values() if node.could_fit(need)]

    @staticmethod
    def _ratios(node: NodeCapacity, need: Need) -> list[tuple[float, float]]:
        return [(node.cpus, need.cpus), (node.gpus, need.gpus)]

    def _reserve(self) -> None:
        """Leave some CPUs and GPUs of the cluster alone."""
        cpus, gpus = self._reserved.cpus, self._reserved.gpus
        there = sum(node.cpus for node in self._nodes.values())
        if 0 < there <= cpus + _EPSILON:
            raise DoesNotFitError(
                f"reserved_cpus is {cpus:g}, and the nodes that workers may use have {several(there, 'CPU')} in all: "
                "nothing is left for workers. Reserve less, or use larger nodes or more of them."
            )
        for node in self._nodes.values():
            kept_cpus, kept_gpus = min(cpus, node.cpus), min(gpus, node.gpus)
            cpus -= kept_cpus
            gpus -= kept_gpus
            node.cpus -= kept_cpus
            node.gpus -= kept_gpus
            node.free_cpus, node.free_gpus = node.cpus, node.gpus
