"""What agents write for others to read: events, the state of a node, the outcome of an attempt."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from curator_slurm.common.json_fields import moment
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.failure_classes import FailureClass, blame_of, failure_class_of
from curator_slurm.launcher.files import append_jsonl, read_json, write_json
from curator_slurm.launcher.runs.node_paths import NodePaths
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.phases import Phase
from curator_slurm.launcher.states import RunState

log = logging.getLogger("curator_slurm.agent")

DRAINED = 75
"""Exit code of a driver, and of a job, whose work was drained before it was complete: sysexits' EX_TEMPFAIL."""


class NodeState(StrEnum):
    """How far a node's agent has come."""

    STARTING = "starting"
    READY = "ready"
    JOINED = "joined"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True)
class NodeStatus:
    """status.json of a node."""

    node: str
    node_id: int
    role: str
    state: NodeState
    message: str = ""
    failure_class: FailureClass | None = None
    next_step: str = ""
    address: str | None = None
    session_dir: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    memory_kills: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    """`runs/phases.py`: what was reached, and when."""
    staged: dict[str, Any] = field(default_factory=dict)
    """What it has of the software that was staged, and how many seconds that took; empty where nothing was."""
    group: str | None = None
    """The group of `resources.groups` that it belongs to."""
    cpus: int = 0
    gpus: int = 0
    memory: int = 0
    """What the job has on it, in bytes."""
    time: float = 0.0

    def write(self, paths: NodePaths) -> None:
        write_json(paths.status, {"schema": 1, **asdict(self), "time": time.time()})


def read_node_status(paths: NodePaths) -> dict[str, Any]:
    """The last status that a node (its agent or its shell) wrote; empty where there is none."""
    try:
        value = read_json(paths.status)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def driver_phases(attempt: AttemptPaths) -> dict[str, float]:
    """What a driver has reached, and when, by its own files; nothing of a command."""
    found = {}
    for path, keys in (
        (attempt.result, {"imported": Phase.DRIVER_IMPORTED}),
        (attempt.progress, {"began": Phase.CONNECTED, "first_batch": Phase.FIRST_BATCH}),
    ):
        with contextlib.suppress(OSError, ValueError):
            value = read_json(path)
            for key, phase in keys.items():
                at = moment(value.get(key)) if isinstance(value, dict) else None
                if at is not None:
                    found[str(phase)] = at
    return found


NODE_LOST = ("node_lost", "node_missing")
"""Events of a node that is not there any more, or never was."""


class EventLog:
    """events.jsonl: what happened, in sentences for people and fields for programs."""

    def __init__(self, path: Path, echo: Callable[[str], None]) -> None:
        self._path = path
        self._echo = echo
        self.lost: dict[str, str] = {}
        """Nodes that were lost, or never came, and the words for it."""

    def add(self, event: str, message: str, node: str | None = None, **data: Any) -> None:
        """Note an event; storage that cannot be written is no reason to end a run."""
        if node is not None and event in NODE_LOST:
            self.lost[node] = message
        self._echo(message if node is None else f"{node}: {message}")
        try:
            append_jsonl(self._path, {"time": time.time(), "event": event, "node": node, "message": message, **data})
        except OSError as error:
            self._echo(f"cannot note it in {self._path}: {storage_errors.what(error)}")


@dataclass
class Outcome:
    """outcome.json: the truth about an attempt."""

    state: RunState
    message: str
    exit_code: int
    started: float
    nodes: list[str]
    failure_class: FailureClass | None = None
    evidence: list[str] = field(default_factory=list)
    next_step: str = ""
    ended: float = 0.0
    outputs: str | None = None
    shards_done: list[int] | None = None
    """Of an element: its shards that are done, whichever attempt completed them."""
    shards_failed: list[int] | None = None
    sources_before: int | None = None
    """Of an attempt: source partitions that were finished when it began, and at its end."""
    sources_finished: int | None = None
    last_finished: float | None = None
    """When the last of them was."""
    warnings: list[str] = field(default_factory=list)
    """Of a success: what it may not have been meant to be."""
    provisional: bool = False
    """Written after a signal, without anybody's word on why it was sent: what Slurm says of that counts more."""

    def write(self, paths: ClusterPaths | AttemptPaths) -> None:
        """Write it; where that is impossible the log has it, and readers decide from what Slurm says."""
        self._write(paths.outcome)

    def write_ending(self, cluster: ClusterPaths) -> None:
        """Write how the job ends while it still has to be taken down; killed before that, nothing else is left."""
        self._write(cluster.ending)

    def _write(self, path: Path) -> None:
        self.ended = self.ended or time.time()
        own = ("shards_done", "shards_failed", "sources_before", "sources_finished", "last_finished")
        fields = {key: value for key, value in asdict(self).items() if value is not None or key not in own}
        fields["blame"] = blame_of(self.failure_class)
        if not self.provisional:
            del fields["provisional"]
        try:
            write_json(path, {"schema": 1, **fields})
        except OSError as error:
            log.error("cannot write %s: %s", path, storage_errors.what(error))


def without_head(message: str, nodes: Sequence[str], evidence: list[str], next_step: str) -> Outcome:
    """The outcome that others write for a head which cannot any more."""
    return Outcome(
        state=RunState.FAILED,
        message=message,
        exit_code=1,
        started=time.time(),
        nodes=list(nodes),
        failure_class=FailureClass.NODE_FAILED,
        evidence=evidence,
        next_step=next_step,
    )


def reason_of_others(paths: ClusterPaths) -> Outcome | None:
    """The outcome that a worker has left which took the head for lost; None where there is none, or not of this kind.

    For a head that lives all the same: its job is being cancelled by its own run, and not by a user.
    """
    try:
        value = read_json(paths.outcome)
        if not isinstance(value, dict) or value.get("failure_class") != FailureClass.NODE_FAILED:
            return None
        evidence = [str(line) for line in value.get("evidence") or ()]
        return without_head(str(value["message"]), value.get("nodes") or (), evidence, str(value.get("next_step")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_ending(paths: ClusterPaths) -> Outcome | None:
    """The outcome that a head had written when it was killed while it took its job down; None where there is none."""
    try:
        value = read_json(paths.ending)
        if not isinstance(value, dict):
            return None
        return Outcome(
            state=RunState(value["state"]),
            message=str(value["message"]),
            exit_code=int(value["exit_code"]),
            started=float(value["started"]),
            nodes=[str(node) for node in value["nodes"]],
            failure_class=failure_class_of(value.get("failure_class")),
            provisional=True,
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
