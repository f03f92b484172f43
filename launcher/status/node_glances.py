"""What the nodes of a running job are at: the last line of what each has measured, read in some kilobytes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curator_slurm.common.json_fields import moment, number, text, whole
from curator_slurm.launcher.files import parse_json
from curator_slurm.launcher.runs.attempt_records import read_node_status
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.status.attempt_files import newest_element
from curator_slurm.launcher.tails import tail

MOST_GLANCES = 64
"""Nodes that are looked at."""
_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class NodeGlance:
    """A node lately; shares are of what the job has there, None where it is not known."""

    node: str
    age_s: float
    cpus: float | None = None
    memory: int | None = None
    memory_share: float | None = None
    gpus: float | None = None
    shm: int | None = None


class NodeGlances:
    """Looks again and again, at most every two seconds."""

    def __init__(self, paths: RunPaths, clock: Callable[[], float] = time.time) -> None:
        self._paths = paths
        self._clock = clock
        self._looked = float("-inf")
        self._found: Sequence[NodeGlance] = ()
        self.omitted = 0
        """Nodes that are not looked at."""
        self.last_event = ""
        """What happened last in the newest job, in its own words."""

    def look(self) -> Sequence[NodeGlance]:
        """The nodes of the newest job, by name; those that have measured nothing yet are left out."""
        now = self._clock()
        if now - self._looked >= _EVERY_S:
            self._looked = now
            name = newest_element(self._paths)
            cluster = ClusterPaths(self._paths.elements / name, self._paths) if name else None
            nodes = cluster.existing_nodes() if cluster else []
            self.last_event = _message(tail(cluster.events, 1)) if cluster else ""
            self.omitted = max(len(nodes) - MOST_GLANCES, 0)
            glances = (
                _glance(node.name, tail(node.metrics, 1), read_node_status(node), now) for node in nodes[:MOST_GLANCES]
            )
            self._found = [glance for glance in glances if glance is not None]
        return self._found


def _message(line: str) -> str:
    with contextlib.suppress(ValueError):
        found = parse_json(line)
        return text(found.get("message")) or "" if isinstance(found, dict) else ""
    return ""


def _glance(name: str, line: str, status: dict[str, object], now: float) -> NodeGlance | None:
    try:
        found = parse_json(line)
    except ValueError:  # being written
        return None
    at = moment(found.get("time")) if isinstance(found, dict) else None
    if at is None:
        return None
    cpus, memory, shm = number(found.get("cpus_job")), whole(found.get("memory_job")), whole(found.get("shm"))
    gpus = found.get("gpus")
    busy = [value for each in gpus if (value := number(each)) is not None] if isinstance(gpus, list) else []
    had = {key: whole(status.get(key)) or None for key in ("cpus", "memory")}
    return NodeGlance(
        node=name,
        age_s=max(now - at, 0.0),
        cpus=cpus / had["cpus"] if cpus is not None and had["cpus"] else None,
        memory=memory,
        memory_share=memory / had["memory"] if memory is not None and had["memory"] else None,
        gpus=sum(busy) / len(busy) if busy else None,
        shm=shm,
    )
