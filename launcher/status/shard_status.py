"""The state of one shard, and what was found out about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.status.reports import NO_PROGRESS, NodeReport, ProgressReport


class ShardState(StrEnum):
    """State of one shard."""

    DONE = "done"
    RUNNING = "running"
    DRAINING = "draining"
    RESTARTING = "restarting"
    STARTING = "starting"
    PENDING = "pending"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOT_SUBMITTED = "not_submitted"
    UNKNOWN = "unknown"

    @property
    def is_active(self) -> bool:
        """Whether an element processes it, or will, or may."""
        return self in _ACTIVE


_ACTIVE = (
    ShardState.RUNNING,
    ShardState.DRAINING,
    ShardState.RESTARTING,
    ShardState.STARTING,
    ShardState.PENDING,
    ShardState.UNKNOWN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardDetail:
    """What is known of a shard beyond its state, where it was asked for."""

    evidence: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    node_reports: tuple[NodeReport, ...] = ()
    ended: float | None = None
    exit_code: int | None = None
    outputs: str | None = None
    progress: ProgressReport = NO_PROGRESS
    never_starts: bool = False
    warnings: tuple[str, ...] = ()


NO_DETAIL = ShardDetail()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """The state of a shard and its reasons; `reason` is Slurm's word for what a pending one waits for."""

    shard: int
    state: ShardState
    failure_class: FailureClass | None = None
    message: str = ""
    next_step: str = ""
    submission: int | None = None
    job_id: str | None = None
    attempt: str | None = None
    attempts: int = 0
    started: float | None = None
    reason: str = ""
    detail: ShardDetail = NO_DETAIL
