"""Reads what attempts and the elements that made them left: names, outcomes, nodes, logs. Called for thousands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.attempt_names import base_of, is_attempt, is_later, newest_names, order_of
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.status.facts import AttemptFacts, ShardPlace
from curator_slurm.launcher.status.reports import (
    NodeReport,
    OutcomeReport,
    read_events,
    read_nodes,
    read_outcome,
    read_progress,
)
from curator_slurm.launcher.tails import last_lines

LOG_LINES = 30
MOST_LOGS = 200
"""Of failed shards without any outcome, the nodes and logs of so many elements are read for the reason."""


def restart_of(name: str | None) -> int:
    """The restart in the name of an attempt."""
    text = (name or "").rpartition(".")[2]
    return whole_number(text) or 0


def attempt_names(paths: RunPaths, shard: int) -> list[str]:
    """Names of the attempts at a shard, oldest first."""
    try:
        names = os.listdir(paths.attempts_of(shard))  # noqa: PTH208 (thousands of folders)
    except OSError:
        return []
    names = [name for name in names if is_attempt(name)]
    return sorted(names, key=order_of) if len(names) > 1 else names


def attempts_at(paths: RunPaths, shard: int) -> list[AttemptPaths]:
    """The attempts at a shard, oldest first."""
    return [paths.attempt(shard, name) for name in attempt_names(paths, shard)]


def newest_elements(paths: RunPaths) -> dict[str, str]:
    """Element id -> name of the folder of its newest restart."""
    with contextlib.suppress(OSError):
        return newest_names(os.listdir(paths.elements))  # noqa: PTH208 (thousands of folders)
    return {}


def element_names(paths: RunPaths) -> list[str]:
    """The folders of elements that have run, or begun to, in no order."""
    with contextlib.suppress(OSError):
        names = os.listdir(paths.elements)  # noqa: PTH208 (thousands of folders)
        return [name for name in names if "." in name and not name.startswith(("slurm-", "."))]
    return []


def newest_element(paths: RunPaths, element_id: str | None = None) -> str | None:
    """Name of the folder of the newest element, or of the newest restart of this one; None where there is none."""
    newest = newest_elements(paths)
    if element_id is None:
        return max(newest.values(), key=order_of, default=None)
    return newest.get(element_id)


def read_element_outcome(paths: RunPaths, element: str) -> OutcomeReport | None:
    """The outcome of an element, by the name of its folder."""
    return read_outcome(f"{paths.elements}/{element}/outcome.json")


def _counts(element_id: str, submitted: str) -> bool:
    """Whether an attempt is that of the newest submission, or newer still: of a job that was submitted by hand."""
    return element_id == submitted or is_later(element_id, submitted)


class AttemptReader:
    """Reads the newest attempt at one shard after the other; what shards of an element share is read once."""

    def __init__(self, paths: RunPaths, nodes: Callable[[ClusterPaths], tuple[NodeReport, ...]] = read_nodes) -> None:
        self._paths = paths
        self._read_nodes = nodes
        self._newest = newest_elements(paths)
        self._elements: dict[str, AttemptFacts] = {}
        self._logs = 0

    def read(self, shard: int, place: ShardPlace, *, detail: bool, done_by: str | None = None) -> AttemptFacts:
        """The facts; in detail events and progress too, and everything although there is an outcome.

        `done_by` is the name of the attempt that has published the shard.
        """
        names = attempt_names(self._paths, shard)
        mine = [done_by] if done_by in names else [name for name in names if _counts(base_of(name), place.element_id)]
        name = mine[-1] if mine else None
        element_id = base_of(name) if name else place.element_id
        element = done_by if done_by is not None else self._newest.get(element_id)
        if name and element and restart_of(name) < restart_of(element):
            name = None  # the job was requeued, and has not come to this shard again
        attempt = self._paths.attempt(shard, name) if name else None
        outcome = read_outcome(attempt.outcome) if attempt else None
        if detail:
            shared = self._read_element(element_id, element, thorough=True)
            events = read_events(self._paths.elements / element / "events.jsonl") if element else None
            progress = read_progress(attempt.progress) if attempt else None
        else:
            shared = AttemptFacts() if outcome and outcome.failure_class else self._element(element_id, element)
            events = progress = None
        return AttemptFacts(
            name=name,
            count=len(names),
            restart=restart_of(element or name),
            outcome=outcome,
            element_outcome=shared.element_outcome,
            ending=shared.ending,
            nodes=shared.nodes,
            heartbeat=shared.heartbeat,
            log_tail=shared.log_tail,
            events=events,
            progress=progress,
        )

    def _element(self, element_id: str, name: str | None) -> AttemptFacts:
        if element_id not in self._elements:
            self._elements[element_id] = self._read_element(element_id, name, thorough=False)
        return self._elements[element_id]

    def _read_element(self, element_id: str, name: str | None, *, thorough: bool) -> AttemptFacts:
        """What lies in the folder of an element, and the end of its log; without an outcome, only of MOST_LOGS."""
        outcome = read_element_outcome(self._paths, name) if name else None
        if not thorough and (outcome is not None or self._logs >= MOST_LOGS):
            return AttemptFacts(element_outcome=outcome)
        self._logs += 1
        cluster = ClusterPaths(self._paths.elements / name, self._paths) if name else None
        heartbeat = None
        if cluster is not None:
            with contextlib.suppress(OSError):
                heartbeat = cluster.heartbeat.stat().st_mtime
        return AttemptFacts(
            element_outcome=outcome,
            ending=read_outcome(cluster.ending) if cluster and outcome is None else None,
            nodes=self._read_nodes(cluster) if cluster else (),
            heartbeat=heartbeat,
            log_tail=_log_tail(self._logs_of(element_id, cluster)) if outcome is None else (),
        )

    def _logs_of(self, element_id: str, cluster: ClusterPaths | None) -> Iterable[Path]:
        """The batch script's, else the agent's of the first node."""
        yield self._paths.slurm_log(element_id)
        for node in cluster.existing_nodes() if cluster else ():
            yield node.agent_log


def _log_tail(paths: Iterable[Path]) -> tuple[str, ...]:
    return next((tuple(lines) for path in paths if (lines := last_lines(path, LOG_LINES))), ())
