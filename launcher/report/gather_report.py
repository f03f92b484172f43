"""Reads everything of a run that a report is made of. The only module here, with `export`, that reads its files.

Of runs with thousands of shards, jobs or nodes not every file is read: MOST says of how many, and what is left out is
counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.common.json_fields import moment, text
from curator_slurm.common.measurements import NodeSample, StageSample, StoreSample
from curator_slurm.launcher.files import is_there, read_jsonl, read_object
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.report.samples import driver_samples, node_samples
from curator_slurm.launcher.runs.attempt_records import read_node_status
from curator_slurm.launcher.runs.done_records import read_done
from curator_slurm.launcher.runs.manifest import read_manifest
from curator_slurm.launcher.runs.owners import read_own
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.phases import Phase
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import DoneRecord
from curator_slurm.launcher.status.describe import describe
from curator_slurm.launcher.status.describe_attempts import describe_attempts
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.reports import OutcomeReport, ProgressReport, read_outcome, read_progress
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.timeline import phases_of
from curator_slurm.launcher.status.views import AttemptView, RunView, UsageView

MOST_JOBS = 200
"""Jobs (elements of arrays) whose timelines and nodes are read: the newest."""
MOST_NODES = 256
"""Nodes whose measurements are read."""
MOST_DRIVERS = 256
"""Attempts whose stages are read over time."""
MOST_SAMPLE_BYTES = 4 << 20
"""Of documents of one attempt."""
MOST_FAILURES = 20_000
"""Records of failed tasks and rows."""


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """A node of a job: what its status says, and what was measured of it."""

    name: str
    status: Mapping[str, Any]
    samples: Sequence[NodeSample] = ()


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A job, or an element of an array, and what it has reached: phase, node, shard, time."""

    name: str
    phases: Sequence[tuple[Phase, str | None, int | None, float]]
    draining: Sequence[float]
    outcome: OutcomeReport | None
    last_sign: float | None
    """When its head was last seen alive."""
    lost: Mapping[str, float] = field(default_factory=dict)
    """Node -> when the head took it for lost."""
    nodes: Sequence[NodeRecord] = ()


@dataclass(frozen=True, kw_only=True)
class DriverRecord:
    """An attempt at a shard: its figures at the end, or now, and over time."""

    shard: int
    attempt: str
    progress: ProgressReport | None
    took_over: str | None = None
    """The attempt whose finished work it went on with."""
    stages: Sequence[StageSample] = ()
    stores: Sequence[StoreSample] = ()
    samples: Sequence[Mapping[str, Any]] = ()
    """Documents that filters have kept and dropped."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """What the files of a run say."""

    now: float
    view: RunView
    status: RunStatus
    plan: Plan | None
    usage: UsageView
    attempts: Sequence[AttemptView] = ()
    done: Mapping[int, DoneRecord] = field(default_factory=dict)
    sizes: Mapping[int, int] = field(default_factory=dict)
    """Bytes of input of each shard."""
    jobs: Sequence[JobRecord] = ()
    drivers: Sequence[DriverRecord] = ()
    failures: Sequence[tuple[int, Mapping[str, Any]]] = ()
    """Shard and record."""
    omitted_jobs: int = 0
    omitted_measurements: int = 0
    omitted_failures: int = 0


def gather_records(run: Run, now: float) -> Records:
    """Everything, as it is at this moment."""
    gathered, status = observe(run, shares=True)
    view = describe(run, status, gathered)
    history = describe_attempts(run, status, gathered, None)
    elements = run.paths.existing_elements()
    jobs = [_job(cluster) for cluster in elements[-MOST_JOBS:]]
    jobs, omitted_nodes = _with_measurements(elements[-MOST_JOBS:], jobs)
    drivers, omitted_drivers = _drivers(run, history.attempts)
    failures, omitted_failures = _failures(run, drivers)
    return Records(
        now=now,
        view=view,
        status=status,
        plan=_plan(run),
        usage=history.usage,
        attempts=history.attempts,
        done=_done(run, status),
        sizes=_sizes(run),
        jobs=jobs,
        drivers=drivers,
        failures=failures,
        omitted_jobs=max(len(elements) - MOST_JOBS, 0),
        omitted_measurements=omitted_nodes + omitted_drivers,
        omitted_failures=omitted_failures,
    )


def _plan(run: Run) -> Plan | None:
    with contextlib.suppress(OSError, ValueError):
        return Plan.from_yaml(read_own(run.paths.plan))
    return None


def _done(run: Run, status: RunStatus) -> dict[int, DoneRecord]:
    open_shards = {each.shard for each in status.open}
    found = {}
    for shard in range(status.total):
        if shard not in open_shards:
            with contextlib.suppress(OSError, ValueError):
                record = read_done(run.paths, shard)
                if record is not None:
                    found[shard] = record
    return found


def _sizes(run: Run) -> dict[int, int]:
    with contextlib.suppress(OSError, ValueError):
        return {shard.index: shard.bytes for shard in read_manifest(run.paths.manifest)}
    return {}


def _job(cluster: ClusterPaths) -> JobRecord:
    draining: list[float] = []
    lost: dict[str, float] = {}
    for event in read_jsonl(cluster.events):
        at = moment(event.get("time")) if isinstance(event, dict) else None
        if at is not None and event.get("event") == "draining":
            draining.append(at)
        elif at is not None and event.get("event") == "node_lost" and isinstance(event.get("node"), str):
            lost.setdefault(event["node"], at)
    last = None
    with contextlib.suppress(OSError):
        last = cluster.heartbeat.stat().st_mtime
    return JobRecord(
        name=cluster.name,
        phases=tuple(sorted(set(phases_of(cluster)), key=lambda each: each[3])),
        draining=draining,
        outcome=read_outcome(cluster.outcome),
        last_sign=last,
        lost=lost,
        nodes=[NodeRecord(name=node.name, status=read_node_status(node)) for node in cluster.existing_nodes()],
    )


def _with_measurements(elements: Sequence[ClusterPaths], jobs: Sequence[JobRecord]) -> tuple[list[JobRecord], int]:
    """The jobs with what was measured of their nodes; and of how many nodes it was not read."""
    left, omitted, found = MOST_NODES, 0, []
    for cluster, job in zip(elements, jobs, strict=True):
        nodes = []
        for node in job.nodes:
            samples = node_samples(cluster.node(node.name).metrics) if left > 0 else []
            omitted += left <= 0
            left -= 1
            nodes.append(NodeRecord(name=node.name, status=node.status, samples=samples))
        found.append(
            JobRecord(
                name=job.name, phases=job.phases, draining=job.draining, outcome=job.outcome, last_sign=job.last_sign,
                lost=job.lost, nodes=nodes,
            )
        )  # fmt: skip
    return found, omitted


def _drivers(run: Run, attempts: Sequence[AttemptView]) -> tuple[list[DriverRecord], int]:
    found, omitted = [], 0
    for number, attempt in enumerate(attempts):
        paths = AttemptPaths(run.paths.attempts / f"{attempt.shard:05d}" / attempt.attempt, run.paths)
        stages, stores = driver_samples(paths.metrics) if number < MOST_DRIVERS else ([], [])
        omitted += number >= MOST_DRIVERS
        samples = _documents(paths) if number < MOST_DRIVERS else []
        found.append(
            DriverRecord(
                shard=attempt.shard, attempt=attempt.attempt, progress=read_progress(paths.progress),
                took_over=text((read_object(paths.takeover) or {}).get("of")), stages=stages, stores=stores,
                samples=samples,
            )
        )  # fmt: skip
    return found, omitted


def _documents(paths: AttemptPaths) -> list[Mapping[str, Any]]:
    if not is_there(paths.samples):
        return []
    return [line for line in read_jsonl(paths.samples, MOST_SAMPLE_BYTES) if isinstance(line, dict)]


def _failures(run: Run, drivers: Sequence[DriverRecord]) -> tuple[list[tuple[int, Mapping[str, Any]]], int]:
    """The records of the newest attempt at each shard, which has those of the ones that it took over from."""
    newest = {driver.shard: driver.attempt for driver in drivers}
    found: list[tuple[int, Mapping[str, Any]]] = []
    omitted = 0
    for shard, attempt in newest.items():
        path = AttemptPaths(run.paths.attempts / f"{shard:05d}" / attempt, run.paths).failures
        if not is_there(path):
            continue
        for record in read_jsonl(path):
            if isinstance(record, dict) and len(found) < MOST_FAILURES:
                found.append((shard, record))
            else:
                omitted += 1
    return found, omitted
