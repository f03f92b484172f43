"""What `status`, `list`, `watch` and their `--json` show of runs and shards: one frozen model of it.

docs/schemas/ has its JSON schemas, which are made of these classes. Times are seconds since the epoch, sizes bytes;
what is not known, or makes no sense for this run, is null or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from curator_slurm.launcher.failure_classes import Blame, FailureClass
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.reports import NodeReport, PipelineReport, StageReport, StoreReport
from curator_slurm.launcher.status.run_events import EventsView
from curator_slurm.launcher.status.shard_status import ShardState
from curator_slurm.launcher.status.timeline import TimelineView

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class ShardGroup:
    """Shards of one failure class; `shards` as in 3,7-9."""

    count: int
    shards: str


@dataclass(frozen=True, kw_only=True)
class RunningShard:
    """A running shard, and for how long it has been running."""

    shard: int
    job_id: str | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class OpenShard:
    """A shard that is neither done nor active: a row of `status --failed`."""

    shard: int
    state: ShardState
    failure_class: FailureClass | None
    blame: Blame | None
    message: str
    next_step: str
    job_id: str | None
    attempt: str | None
    attempts: int


@dataclass(frozen=True, kw_only=True)
class ShardsView:
    """The shards of a run in numbers; `typical_s` is the median time that a shard took."""

    total: int
    done: int
    running: int
    draining: int
    restarting: int
    starting: int
    pending: int
    failed: int
    cancelled: int
    not_submitted: int
    unknown: int
    failed_by_class: Mapping[str, ShardGroup]
    running_shards: str
    rate_per_hour: float | None
    eta_s: float | None
    typical_s: float | None
    slowest: tuple[RunningShard, ...]
    failing: tuple[OpenShard, ...]


@dataclass(frozen=True, kw_only=True)
class SubmissionView:
    """One sbatch call, or one start of a process on this machine."""

    number: int
    purpose: str
    job_id: str | None
    submitted: float | None
    elements: int
    shards: int
    max_running: int | None
    changes: Mapping[str, str]
    refused: str | None


@dataclass(frozen=True, kw_only=True)
class AttemptView:
    """One attempt at a shard, numbered from 1; no state where it has left no word of its end.

    `sources_before` and `sources_finished` are the source partitions that were finished when it began and when it
    ended. `wasted_node_hours` are those after the last one that it finished.
    """

    number: int
    shard: int
    attempt: str
    job_id: str
    state: RunState | None
    failure_class: FailureClass | None
    blame: Blame | None
    message: str
    nodes: tuple[str, ...]
    sources_before: int | None
    sources_finished: int | None
    started: float | None
    ended: float | None
    node_hours: float | None
    wasted_node_hours: float | None
    log: str | None


@dataclass(frozen=True, kw_only=True)
class UsageView:
    """What all attempts have cost; what was wasted is null where one of them cannot tell."""

    attempts: int
    restarts: int
    node_hours: float
    wasted_node_hours: float | None


@dataclass(frozen=True, kw_only=True)
class BadNodeView:
    """A node that failed under this run: `faults` under all runs of the user within a week, of so many `runs`.

    `excluded`: a retry does without it, where the site permits that.
    """

    node: str
    faults: int
    runs: int
    last: float
    message: str
    excluded: bool


@dataclass(frozen=True, kw_only=True)
class AttemptsView:
    """What `status --attempts` prints."""

    schema: int = 1
    run_id: str
    name: str
    usage: UsageView
    attempts: tuple[AttemptView, ...]


@dataclass(frozen=True, kw_only=True)
class CollectedView:
    """The dataset that `collect` has published."""

    target: str
    complete: bool
    time: float | None
    files: int | None
    rows: int | None
    bytes: int | None
    tasks_failed: int | None
    rows_failed: int | None


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """Paths of a run; null for files that are not there. The last four are of the shard of a run of one."""

    run_dir: str
    script: str
    plan: str
    manifest: str
    outputs: str | None
    slurm_log: str | None
    attempt: str | None
    driver_log: str | None
    failures: str | None


@dataclass(frozen=True, kw_only=True)
class RunView:
    """What `status --json` prints. `evidence` to `object_store` are those of the shard, where the run has one alone."""

    schema: int = SCHEMA
    run_id: str
    name: str
    cluster: str | None
    array: bool
    job_id: str | None
    state: RunState
    failure_class: FailureClass | None
    blame: Blame | None
    message: str
    next_step: str
    warnings: tuple[str, ...]
    never_starts: bool
    evidence: tuple[str, ...]
    nodes: tuple[str, ...]
    node_reports: tuple[NodeReport, ...]
    bad_nodes: tuple[BadNodeView, ...]
    exit_code: int | None
    stages: tuple[StageReport, ...]
    pipeline: str
    """Of these stages; `earlier` are those that a workflow ran before it."""
    earlier: tuple[PipelineReport, ...]
    tasks_failed: int | None
    rows_failed: int | None
    notes: tuple[str, ...]
    object_store: StoreReport | None
    restarts: int
    """Starts after an interruption, of all its jobs."""
    attempts: tuple[AttemptView, ...]
    """And `usage`: of a run of one shard; of others, `status --attempts` reads them all."""
    usage: UsageView | None
    eta_s: float | None
    """Until the end, over restarts if there have to be more."""
    shards: ShardsView
    submissions: tuple[SubmissionView, ...]
    collect_jobs: tuple[str, ...]
    collected: CollectedView | None
    created: float | None
    submitted: float | None
    started: float | None
    ended: float | None
    cancelled: float | None
    user: str | None
    """Who submitted it, by its record."""
    owner: str | None
    """Whose the run directory is."""
    host: str | None
    version: str | None
    spec_path: str | None
    paths: RunFiles


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run in `list`."""

    run_id: str
    name: str
    state: RunState
    failure_class: FailureClass | None
    blame: Blame | None
    array: bool
    shards: int | None
    shards_done: int | None
    restarts: int
    cluster: str | None
    job_id: str | None
    created: float | None
    started: float | None
    ended: float | None
    message: str
    run_dir: str
    owner: str | None


@dataclass(frozen=True, kw_only=True)
class DoneView:
    """How a shard was done, and its outputs."""

    attempt: str
    started: float
    published: float
    files: int
    rows: int | None
    bytes: int
    tasks_failed: int
    rows_failed: int


@dataclass(frozen=True, kw_only=True)
class InputView:
    """The input files of a shard."""

    files: int
    bytes: int
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShardFiles:
    """Paths of a shard."""

    outputs: str
    done: str
    attempt: str | None


@dataclass(frozen=True, kw_only=True)
class ShardView:
    """What `status --shard N --json` prints."""

    schema: int = SCHEMA
    run_id: str
    name: str
    shard: int
    state: ShardState
    failure_class: FailureClass | None
    blame: Blame | None
    message: str
    next_step: str
    reason: str
    job_id: str | None
    submission: int | None
    evidence: tuple[str, ...]
    nodes: tuple[str, ...]
    node_reports: tuple[NodeReport, ...]
    exit_code: int | None
    stages: tuple[StageReport, ...]
    pipeline: str
    earlier: tuple[PipelineReport, ...]
    tasks_failed: int | None
    rows_failed: int | None
    notes: tuple[str, ...]
    object_store: StoreReport | None
    started: float | None
    ended: float | None
    warnings: tuple[str, ...]
    done: DoneView | None
    input: InputView
    attempts: tuple[AttemptView, ...]
    paths: ShardFiles


DOCUMENTS: Mapping[str, Any] = {
    "status": RunView,
    "status-shard": ShardView,
    "status-failed": tuple[OpenShard, ...],
    "status-attempts": AttemptsView,
    "status-events": EventsView,
    "status-timeline": TimelineView,
    "list": tuple[RunRow, ...],
}
"""What each `--json` prints, by the name of its schema."""


def to_json(view: object) -> Any:
    """Plain data: dataclasses as objects, tuples as lists, states as strings."""
    if is_dataclass(view) and not isinstance(view, type):
        return {each.name: to_json(getattr(view, each.name)) for each in fields(view)}
    if isinstance(view, Mapping):
        return {str(key): to_json(value) for key, value in view.items()}
    if isinstance(view, (list, tuple)):
        return [to_json(value) for value in view]
    return view
