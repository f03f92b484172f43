"""What Slurm reports about one job, whichever command says it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.states import SlurmState

_REASONS_OF_END = {
    "TimeLimit": FailureClass.TIME_LIMIT,
    "OutOfMemory": FailureClass.OUT_OF_MEMORY,
    "NodeDown": FailureClass.NODE_FAILED,
    "BadConstraints": FailureClass.SLURM_REFUSED,
}


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """What Slurm reports about one job, array element, or the pending part of an array (`5_[1-9%1]`).

    Times are seconds since the epoch. Fields that the command does not print are None or empty.
    """

    job_id: str
    state: SlurmState
    array_job_id: str | None = None
    array_task: str | None = None
    reason: str = ""
    nodes: tuple[str, ...] = ()
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    ends_by: float | None = None
    """When its time limit ends it, once it has started, or the grace of a preemption."""
    preempted: float | None = None
    """When it was preempted; while its grace lasts, it runs on."""
    time_limit: str = ""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int | None = None
    work_dir: str = ""
    output: str = ""
    name: str = ""

    @property
    def end_reason(self) -> FailureClass | None:
        """Why Slurm is ending or has ended this job, if it says so; while it ends one, the state is COMPLETING."""
        return end_reason(self.state, self.reason)

    @property
    def base_id(self) -> str:
        """The id of the whole array, or the job's own."""
        return self.array_job_id or self.job_id


@dataclass(frozen=True)
class Ending:
    """Why Slurm ends a job that still runs, and when, as far as it says."""

    reason: FailureClass | None = None
    at: float | None = None
    preempted: bool = False
    """It is preempted, and runs on until `at`."""


def ending_from_inside(infos: Iterable[JobInfo], job_id: str, in_log: FailureClass | None) -> Ending:
    """Why and when Slurm ends this job, seen from inside it after a signal, as far as that can be told.

    While a job is ending, its state is COMPLETING; that it was preempted or cancelled is written only to the job's own
    log. While the grace of a preemption lasts, it is RUNNING, and the log speaks of a cancelled step.
    """
    info = next((each for each in infos if each.job_id == job_id), None)
    if info is None:
        return Ending()
    if info.preempted is not None and info.state is SlurmState.RUNNING:
        return Ending(FailureClass.PREEMPTED, info.ends_by, preempted=True)
    return Ending(info.end_reason or in_log, info.ends_by)


def end_reason(state: SlurmState, reason: str) -> FailureClass | None:
    """Why Slurm ends or has ended a job in this state, with this reason; None where neither says so."""
    return state.failure_class or _REASONS_OF_END.get(reason)


def split_component(job_id: str) -> tuple[str, int]:
    """`4711+1` as the id of the heterogeneous job and the number of its component; any other id is the first one's."""
    whole, _, component = job_id.partition("+")
    return whole, int(component or 0)


def whole_jobs(jobs: Iterable[JobInfo]) -> list[JobInfo]:
    """The components of each heterogeneous job as one, of which the first counts: the batch script runs there.

    It has the nodes of all, and the reason of another one where it has none itself.
    """
    found: list[JobInfo] = []
    firsts: dict[str, int] = {}
    others: list[tuple[str, JobInfo]] = []
    for job in jobs:
        whole, component = split_component(job.job_id)
        if component:
            others.append((whole, job))
            continue
        firsts[whole] = len(found)
        found.append(replace(job, job_id=whole) if whole != job.job_id else job)
    for whole, job in others:
        if whole in firsts:
            first = found[firsts[whole]]
            nodes = first.nodes + tuple(node for node in job.nodes if node not in first.nodes)
            found[firsts[whole]] = replace(first, nodes=nodes, reason=first.reason or job.reason)
    return found


def merge(known: JobInfo, more: JobInfo) -> JobInfo:
    """`known`, completed from `more` (exit code, restarts, reason, times)."""
    return replace(
        known,
        reason=known.reason or more.reason,
        nodes=known.nodes or more.nodes,
        submitted=known.submitted or more.submitted,
        started=known.started or more.started,
        ended=known.ended or more.ended,
        time_limit=known.time_limit or more.time_limit,
        exit_code=more.exit_code if known.exit_code is None else known.exit_code,
        signal=more.signal if known.signal is None else known.signal,
        ends_by=known.ends_by if more.ends_by is None else more.ends_by,
        preempted=known.preempted or more.preempted,
        restarts=more.restarts if known.restarts is None else known.restarts,
        work_dir=known.work_dir or more.work_dir,
        output=known.output or more.output,
        name=known.name or more.name,
    )
