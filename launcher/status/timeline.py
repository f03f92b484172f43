"""Where the seconds of a job went: what each node, and the driver of each shard, reached when.

Files alone are read: statuses of nodes, events of the head, and what the drivers wrote. Times are those of the nodes'
own clocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.json_fields import moment, whole
from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.files import read_jsonl
from curator_slurm.launcher.runs.attempt_records import driver_phases, read_node_status
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.phases import NODE_PHASES, OF_JOB, SHARD_EVENTS, WORDS, Phase
from curator_slurm.launcher.runs.registry import Run

_ORDER = {phase: number for number, phase in enumerate(Phase)}


@dataclass(frozen=True, kw_only=True)
class PhaseView:
    """Something that was reached; of the whole job where there is no node."""

    phase: Phase
    node: str | None
    shard: int | None
    time: float
    seconds: float
    """Since the first of all phases."""


@dataclass(frozen=True, kw_only=True)
class TimelineView:
    """What `status --timeline --json` prints."""

    schema: int = 1
    run_id: str
    name: str
    element: str
    nodes: tuple[str, ...]
    phases: tuple[PhaseView, ...]


def timeline_of(run: Run, shard: int | None = None) -> TimelineView:
    """The timeline of the newest job of a run, or of that which made the newest attempt at a shard.

    Raises:
        UsageError: there is none yet.
    """
    cluster = _element(run.paths, shard)
    if cluster is None:
        of = f"shard {shard} of run {run.run_id}" if shard is not None else f"run {run.run_id}"
        raise UsageError(f"{of} has no timeline: no job of it has started yet")
    found = sorted(set(phases_of(cluster, shard)), key=lambda each: (each[3], _ORDER[each[0]], each[1] or ""))
    first = found[0][3] if found else 0.0
    return TimelineView(
        run_id=run.run_id,
        name=run.name,
        element=cluster.name,
        nodes=tuple(sorted({node for _, node, _, _ in found if node is not None})),
        phases=tuple(
            PhaseView(phase=phase, node=node, shard=number, time=at, seconds=round(at - first, 3))
            for phase, node, number, at in found
        ),
    )


def _element(paths: RunPaths, shard: int | None) -> ClusterPaths | None:
    if shard is None:
        elements = paths.existing_elements()
        return elements[-1] if elements else None
    attempts = [attempt for attempt in paths.existing_attempts() if attempt.shard == shard]
    return attempts[-1].cluster if attempts else None


_Found = tuple[Phase, str | None, int | None, float]


def phases_of(cluster: ClusterPaths, shard: int | None = None) -> Iterator[_Found]:
    """Phase, node, shard and time, in no order; some twice, since the head repeats what nodes have written.

    With `shard` those of other shards are left out; without it, all are there.
    """
    for paths in cluster.existing_nodes():
        status = read_node_status(paths)
        yield from _of_node(status.get("phases"), paths.name)
    for event in read_jsonl(cluster.events):
        if not isinstance(event, dict):
            continue
        name, number = event.get("event"), whole(event.get("shard"))
        if name == NODE_PHASES:
            phases = event.get("phases")
            for node, found in phases.items() if isinstance(phases, Mapping) else ():
                yield from _of_node(found, str(node))
        elif shard is not None and number not in (shard, None):
            continue
        elif (phase := SHARD_EVENTS.get(str(name))) and (at := moment(event.get("time"))) is not None:
            yield phase, None, number, round(at, 3)
            if phase is Phase.DRIVER_LAUNCHED and number is not None:
                yield from _of_driver(cluster, number)


def _of_driver(cluster: ClusterPaths, shard: int) -> Iterator[_Found]:
    for name, at in driver_phases(cluster.attempt(shard)).items():
        yield Phase(name), None, shard, round(at, 3)


def _of_node(phases: Any, node: str) -> Iterator[_Found]:
    for name, value in phases.items() if isinstance(phases, Mapping) else ():
        if name in list(Phase) and (at := moment(value)) is not None:
            phase = Phase(name)
            yield phase, None if phase in OF_JOB else node, None, at


def words(phase: Phase) -> str:
    """A phase for people."""
    return WORDS[phase]
