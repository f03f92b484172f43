"""What came of every attempt at a shard: how it ended, what it had finished by then, where it ran, and what it cost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from curator_slurm.common.json_fields import moment, whole
from curator_slurm.launcher.failure_classes import blame_of
from curator_slurm.launcher.files import folders_in, is_there, read_object
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.attempt_names import base_of, order_of
from curator_slurm.launcher.runs.finished_sources import finished_sources
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.attempt_files import attempt_names
from curator_slurm.launcher.status.reports import OutcomeReport, read_outcome
from curator_slurm.launcher.status.shard_status import ShardState, ShardStatus
from curator_slurm.launcher.status.views import AttemptView, UsageView

NO_WORD = "It left no word of its end: its head node was killed, or lost."
_AT_WORK = {
    ShardState.RUNNING: RunState.RUNNING,
    ShardState.STARTING: RunState.STARTING,
    ShardState.DRAINING: RunState.DRAINING,
}


def names_of_attempts(run: Run, shard: int) -> list[str]:
    """The attempts at a shard, oldest first; of a run of one, also jobs that ended before they had begun it."""
    names = attempt_names(run.paths, shard)
    if run.record is not None and not run.record.array:
        elements = (folder.name for folder in folders_in(run.paths.elements) if "." in folder.name)
        names = sorted({*names, *elements}, key=order_of)
    return names


def attempts_of(run: Run, shard: int, status: ShardStatus | None, now: float) -> tuple[AttemptView, ...]:
    """All that is known of the attempts; `status` is that of the shard, which tells of an attempt that goes on."""
    names = names_of_attempts(run, shard)
    taken = _taken_over(run, shard, names) if len(names) > 1 else {}
    found = []
    for number, name in enumerate(names, 1):
        paths = run.paths.attempt(shard, name)
        last = name == names[-1] and status is not None and status.attempt in (name, None)
        found.append(_view(paths, number, status if last else None, now, taken.get(name)))
    return tuple(found)


def all_attempts(run: Run, known: Mapping[int, ShardStatus], now: float) -> Iterator[AttemptView]:
    """Those at all shards, by shard; `known` are the statuses of those that are not done."""
    for folder in folders_in(run.paths.attempts):
        if (shard := whole_number(folder.name)) is not None:
            yield from attempts_of(run, shard, known.get(shard), now)


def _taken_over(run: Run, shard: int, names: Sequence[str]) -> dict[str, float | None]:
    """Attempt -> when it finished its last source, as the one says that has taken over from it."""
    found = {}
    for name in names:
        value = read_object(run.paths.attempt(shard, name).takeover) or {}
        found[str(value.get("of"))] = moment(value.get("last_finished"))
    return found


def _view(
    paths: AttemptPaths, number: int, status: ShardStatus | None, now: float, last_finished: float | None
) -> AttemptView:
    outcome = _outcome(paths)
    at_work = None
    if status is not None and status.job_id == base_of(paths.name):
        at_work = _AT_WORK.get(status.state)
    if at_work is not None:
        outcome = None
    state, failure, message = at_work, None, ""
    if outcome is not None:
        state, failure, message = outcome.state, outcome.failure_class, outcome.message
    elif status is not None and status.state in (ShardState.FAILED, ShardState.CANCELLED):
        state = RunState.FAILED if status.state is ShardState.FAILED else RunState.CANCELLED
        failure, message = status.failure_class, status.message
    elif at_work is None:
        message = NO_WORD
    said = outcome or OutcomeReport(state=RunState.UNKNOWN)
    started = said.started or _time_of(paths.element) or _time_of(paths.cluster.root)
    ended = None if at_work else said.ended or _time_of(paths.cluster.heartbeat)
    nodes = said.nodes or tuple(node.name for node in paths.cluster.existing_nodes())
    before, finished = _sources(paths, outcome)
    last = said.last_finished or last_finished
    hours = _node_hours(nodes, started, now if at_work else ended)
    return AttemptView(
        number=number,
        shard=paths.shard,
        attempt=paths.name,
        job_id=base_of(paths.name),
        state=state,
        failure_class=failure,
        blame=blame_of(failure),
        message=message,
        nodes=nodes,
        sources_before=before,
        sources_finished=finished,
        started=started,
        ended=ended,
        node_hours=hours,
        wasted_node_hours=_wasted(paths, state, hours, (before or 0, finished), (started, last, ended)),
        log=str(paths.driver_log) if is_there(paths.driver_log) else None,
    )


def _outcome(paths: AttemptPaths) -> OutcomeReport | None:
    """The attempt's own, else that of its element, else what its head wrote when a signal came."""
    cluster = paths.cluster
    for path in (paths.outcome, cluster.outcome, cluster.ending):
        if (found := read_outcome(path)) is not None:
            return found
    return None


def _sources(paths: AttemptPaths, outcome: OutcomeReport | None) -> tuple[int | None, int | None]:
    """Source partitions that were finished when it began, and when it ended; None of what is no pipeline of sources."""
    if _is_command(paths):
        return None, None
    taken = read_object(paths.takeover) or {}
    before = outcome.sources_before if outcome is not None else None
    finished = outcome.sources_finished if outcome is not None else None
    if finished is None:
        with contextlib.suppress(OSError, ValueError):
            finished = finished_sources(paths.run, paths.shard, paths.name)
    return before if before is not None else whole(taken.get("sources_before")) or 0, finished


def _is_command(paths: AttemptPaths) -> bool:
    return is_there(paths.command_script) or is_there(paths.state)


def _node_hours(nodes: Sequence[str], started: float | None, ended: float | None) -> float | None:
    if started is None or ended is None or not nodes:
        return None
    return round(len(nodes) * max(ended - started, 0.0) / 3600, 4)


def _wasted(
    paths: AttemptPaths,
    state: RunState | None,
    hours: float | None,
    sources: tuple[int, int | None],
    times: tuple[float | None, float | None, float | None],
) -> float | None:
    """Node-hours after the last source that it finished, or all; none yet of one that goes on."""
    if hours is None or state is RunState.COMPLETED or (state is not None and state.is_active):
        return None if hours is None else 0.0
    if _is_command(paths):
        return None  # what it has kept in its folder, it alone knows
    (before, finished), (started, last, ended) = sources, times
    if finished is None or finished <= before:
        return hours
    if last is None or started is None or ended is None or ended <= started:
        return None
    return round(hours * min(max(ended - last, 0.0) / (ended - started), 1.0), 4)


def usage_of(attempts: Sequence[AttemptView], restarts: int) -> UsageView:
    """What attempts have cost together."""
    hours = [each.node_hours for each in attempts if each.node_hours is not None]
    wasted = [each.wasted_node_hours for each in attempts]
    known = [each for each in wasted if each is not None]
    return UsageView(
        attempts=len(attempts),
        restarts=restarts,
        node_hours=round(sum(hours), 4),
        wasted_node_hours=round(sum(known), 4) if len(known) == len(wasted) else None,
    )


def _time_of(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_mtime
    return None
