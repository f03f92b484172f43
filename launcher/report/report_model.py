"""What a report says of a run: what `report --json` prints, and what the page is made of.

Times are seconds since the epoch, lengths seconds, sizes bytes; what is not known is null or empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.status.shard_status import ShardState
from curator_slurm.launcher.status.views import AttemptView, RunView, UsageView


@dataclass(frozen=True, kw_only=True)
class PlanSetting:
    """A setting of the plan that somebody made, and where: file and line, or an option."""

    key: str
    value: str
    origin: str


@dataclass(frozen=True, kw_only=True)
class WhatRan:
    """The plan of the run, as far as it is not all defaults; values of variables are never shown."""

    settings: tuple[PlanSetting, ...]
    version: str | None
    executor: str | None
    command: bool
    """Whether it is the user's own program: its stages are not known."""


@dataclass(frozen=True, kw_only=True)
class FunnelStage:
    """What one stage made of what it got, over all shards.

    `dropped` are items where a stage returns what it takes, else tasks; `kept` is known in the first case alone. Then
    `items_in` is the sum of `items_out`, `dropped`, `items_failed` and `rows_failed`; `tasks_in` always is that of
    the tasks which were kept, filtered or failed. Bytes, `busy_s` and `workers_peak` are of interrupted work, too.
    """

    pipeline: str
    stage: str
    tasks_in: int
    tasks_out: int
    tasks_filtered: int
    tasks_failed: int
    items_in: int
    items_out: int
    items_failed: int
    rows_failed: int
    bytes_in: int | None
    bytes_out: int | None
    """Estimates."""
    dropped: int
    drops_items: bool
    kept: float | None
    busy_s: float | None
    workers_peak: int | None


@dataclass(frozen=True, kw_only=True)
class ShownDocument:
    """A document that a filter of a stage kept or dropped; `why` is the figure it decided by, where it says.

    `fields` are pairs of name and text, cut as `report.sample_characters` of the spec says.
    """

    pipeline: str
    stage: str
    by: str
    kept: bool
    why: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """Where the documents went: every source partition counts once, however often it ran.

    `uncounted` source partitions are in no figure of the stages: earlier attempts have finished them, and have not
    recorded what was counted.
    """

    shards: int
    attempts: int
    uncounted: int
    stages: tuple[FunnelStage, ...]
    documents: tuple[ShownDocument, ...]
    """Where `report.samples` of the spec asks for some."""
    files: int
    rows: int | None
    bytes: int
    """Of published outputs."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """From when to when a row of the timeline was at something: a node, the queue, the driver of a shard."""

    element: str
    row: str
    what: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Which second went where; `omitted` jobs are not in it."""

    spans: tuple[Span, ...]
    seconds: Mapping[str, float]
    """What -> seconds of all nodes together."""
    omitted: int


@dataclass(frozen=True, kw_only=True)
class StageSeries:
    """A stage over time; `rate` counts tasks in a second, `busy` is the share of its workers' time."""

    pipeline: str
    stage: str
    times: tuple[float, ...]
    rate: tuple[float | None, ...]
    items_rate: tuple[float | None, ...]
    queued: tuple[int | None, ...]
    workers: tuple[int | None, ...]
    busy: tuple[float | None, ...]
    task_seconds: Mapping[str, int]
    """How many tasks took up to so many seconds each."""


@dataclass(frozen=True, kw_only=True)
class NodeSeries:
    """A node over time. CPUs and GPUs as shares of what the job has there, where that is known."""

    node: str
    element: str
    times: tuple[float, ...]
    cpus: tuple[float | None, ...]
    memory: tuple[int | None, ...]
    gpus: tuple[float | None, ...]
    shm: tuple[int | None, ...]
    network: tuple[float | None, ...]
    """Bytes in and out in a second."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured; `omitted` files were not read, because there are so many."""

    stages: tuple[StageSeries, ...]
    nodes: tuple[NodeSeries, ...]
    omitted: int


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What the speed of the run depended on, and the figures that show it. No stage: it was no stage."""

    stage: str | None
    reason: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A setting, what it was, the figures that speak for another value, and what that would have saved."""

    key: str
    value: str
    before: str
    evidence: str
    saves: str

    @property
    def setting(self) -> str:
        """KEY=VALUE, for --set."""
        return f"{self.key}={self.value}"


@dataclass(frozen=True, kw_only=True)
class FailureGroup:
    """Failures of one cause: tasks and rows, one traceback, some of the sources."""

    stage: str
    error: str
    tasks: int
    rows: int
    shards: int
    traceback: str
    sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Failed tasks and rows by cause; `omitted` records were not read."""

    groups: tuple[FailureGroup, ...]
    omitted: int


@dataclass(frozen=True, kw_only=True)
class ShardBar:
    """A shard: when it was processed, how large it is, and what came of it."""

    shard: int
    state: ShardState
    failure_class: FailureClass | None
    attempts: int
    started: float | None
    ended: float | None
    bytes: int | None
    rows: int | None
    message: str


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What the run has taken. `busy` are hours of CPUs and GPUs at work, null where nothing was measured."""

    usage: UsageView
    queue_s: float | None
    cpu_hours: float | None
    cpu_hours_busy: float | None
    gpu_hours: float | None
    gpu_hours_busy: float | None
    memory_peak: int | None
    """The most that the job had on one node."""
    memory_asked: int | None
    """What it had been given there."""
    energy_kwh: float | None
    energy_of: str
    """What was measured of it: processors, GPUs, or both."""


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What `report --json` prints; `status` is what `status --json` prints."""

    schema: int = 1
    made: float
    status: RunView
    ran: WhatRan
    funnel: Funnel
    timeline: Timeline
    measured: Measured
    limit: Limit
    failures: Failures
    shards: tuple[ShardBar, ...]
    attempts: tuple[AttemptView, ...]
    costs: Costs
