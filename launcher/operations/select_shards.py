"""Which shards a retry takes: those that are neither done nor active, or fewer of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.ranges import format_numbers
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.shard_status import ShardState, ShardStatus


@dataclass(frozen=True)
class Selection:
    """What the user named; with nothing named, all that can be tried again."""

    classes: Collection[FailureClass] = ()
    shards: Sequence[int] | None = None
    unsubmitted: bool = False
    """Only shards that were never submitted."""


@dataclass(frozen=True)
class Choice:
    """The shards to submit again, and of those named, the ones that are left as they are: shard -> why."""

    shards: Sequence[int]
    why: Mapping[str, int] = field(default_factory=dict)
    passed_over: Mapping[int, str] = field(default_factory=dict)


def choose(decision: RunStatus, selection: Selection) -> Choice:
    """The shards to submit again.

    Raises:
        UsageError: a named shard does not exist.
    """
    open_ = {status.shard: status for status in decision.open}
    named = range(decision.total) if selection.shards is None else selection.shards
    beyond = [shard for shard in named if shard >= decision.total]
    if beyond:
        last = decision.total - 1
        raise UsageError(f"there is no shard {format_numbers(beyond)}: the shards of the run are 0 to {last}")
    chosen, passed_over = [], {}
    for shard in named:
        status = open_.get(shard)
        reason = _passed_over(status, selection)
        if not reason:
            chosen.append(shard)
        elif selection.shards is not None:
            passed_over[shard] = reason
    why = Counter(_label(open_[shard]) for shard in chosen)
    return Choice(chosen, dict(why.most_common()), passed_over)


def _passed_over(status: ShardStatus | None, selection: Selection) -> str:
    """Why a shard is not submitted again; empty where it is."""
    if status is None:
        return "done"
    if status.state.is_active:
        return status.state.value
    if selection.unsubmitted and status.state is not ShardState.NOT_SUBMITTED:
        return _label(status)
    if selection.classes and status.failure_class not in selection.classes:
        return _label(status)
    return ""


def _label(status: ShardStatus) -> str:
    if status.failure_class is not None:
        return status.failure_class.value
    return status.state.value.replace("_", " ")
