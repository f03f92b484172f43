"""What the nodes of a job have written of themselves, as its head reads it: so many files in a second, and no more.

Shared storage answers everybody's questions, so a thousand nodes may not mean a thousand questions at every look. A
node is read until what is wanted of it is known; nodes that are still waited for take turns.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Sequence
from typing import Any

from curator_slurm.launcher.agent.cluster_scale import MOST_READINGS
from curator_slurm.launcher.runs.attempt_records import NodeState, read_node_status
from curator_slurm.launcher.runs.paths import ClusterPaths

_BURST_S = 1.0


class NodeBoard:
    """The last status of each node, for a head that asks again and again."""

    def __init__(self, cluster: ClusterPaths, nodes: Sequence[str]) -> None:
        self._cluster = cluster
        self._nodes = list(nodes)
        self._latest: dict[str, dict[str, Any]] = {}
        self._read: dict[str, float] = {}
        self._last = time.monotonic() - _BURST_S
        self._all_read = float("-inf")

    @property
    def seconds_for_all(self) -> float:
        """How long it takes to read every node once."""
        return len(self._nodes) / MOST_READINGS

    def pause_s(self, shortest_s: float) -> float:
        """Between two looks: longer on clusters that take long anyhow."""
        return max(shortest_s, len(self._nodes) / 1000)

    def look(self, wanted: Collection[str]) -> None:
        """Read some of `wanted` again: all of a few, of many those that were read longest ago."""
        now = time.monotonic()
        most = max(1, int(MOST_READINGS * min(now - self._last, _BURST_S)))
        self._last = now
        there = self._there() if wanted else set()
        for name in sorted(there & set(wanted), key=lambda name: self._read.get(name, 0.0))[:most]:
            self._look_at(name)

    def look_at_all(self, *, fresh: bool = False) -> None:
        """Read every node, unless that was done so lately that `MOST_READINGS` forbids it; `fresh`: in any case."""
        if fresh or time.monotonic() - self._all_read >= self.seconds_for_all:
            for name in sorted(self._there()):
                self._look_at(name)
            self._all_read = time.monotonic()

    def status(self, name: str) -> dict[str, Any]:
        """As it was when last read; empty where nothing is known."""
        return self._latest.get(name, {})

    def in_state(self, *states: NodeState) -> set[str]:
        """Names of nodes that were in one of these states when they were last read."""
        return {name for name, status in self._latest.copy().items() if status.get("state") in states}

    def names(self) -> dict[str, str]:
        """Address -> name, of the nodes that have said theirs."""
        return {str(status["address"]): name for name, status in self._latest.copy().items() if status.get("address")}

    def memory_kills(self) -> dict[str, int]:
        """Processes that the kernel has killed for memory, by node."""
        return {name: int(status.get("memory_kills") or 0) for name, status in self._latest.copy().items()}

    def _look_at(self, name: str) -> None:
        status = read_node_status(self._cluster.node(name))
        self._read[name] = time.monotonic()
        if status:
            self._latest[name] = status

    def _there(self) -> set[str]:
        """Nodes with a folder: asking for one that is not there yet would make network storage hide it for a while."""
        with contextlib.suppress(OSError):
            return set(os.listdir(self._cluster.nodes)) & set(self._nodes)  # noqa: PTH208 (names alone)
        return set()
