"""From when and until when work drains: what Slurm does to a job, and how long it leaves us. Pure.

Slurm 22.05 was tried, with all of this in a job of two nodes:

- preemption with GraceTime: the steps get SIGTERM; the job stays RUNNING, with a PreemptTime and a new EndTime. The
  log says no more than of a step that was cancelled. When the grace is over, it goes on as without one.
- preemption without GraceTime, requeue, time limit, scancel: batch shell and steps get SIGTERM, and SIGKILL after
  KillWait; the log says why. The EndTime of a job that is requeued is that of its next start.
- some time before the time limit (--signal=B:): the batch shell gets the signal, up to a minute too early.
"""

from __future__ import annotations

from dataclasses import dataclass

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm.job_info import Ending

RESERVE_S = 15.0
"""What is left, when work has to be over, for ending Ray, keeping its logs, writing outcomes, and for the script."""
KILL_WAIT_S = 30.0
"""Slurm's default, where it does not say."""


@dataclass(frozen=True)
class DrainOrder:
    """Drain from `begin` until `until` (seconds since the epoch), for this reason, where anybody has said it."""

    reason: FailureClass | None
    begin: float
    until: float


def after_signal(
    now: float, ending: Ending | None, in_log: FailureClass | None, kill_wait_s: float | None
) -> DrainOrder | None:
    """What SIGTERM means by Slurm's answer (None: it gave none) and the job's log; None: end at once.

    A user who cancels does not want to wait. Where nobody says why, it is not known to be that.
    """
    if ending is not None and ending.preempted and ending.at is not None and ending.at > now:
        return DrainOrder(FailureClass.PREEMPTED, now, _over_by(now, ending.at))
    reason = in_log
    if reason in (None, FailureClass.CANCELLED) and ending is not None:
        reason = ending.reason or reason
    if reason is FailureClass.CANCELLED:
        return None
    return DrainOrder(reason, now, _over_by(now, now + (KILL_WAIT_S if kill_wait_s is None else kill_wait_s)))


def before_limit(now: float, ending: Ending | None, notice_s: float) -> DrainOrder:
    """What the signal means that Slurm sends before the time limit, or, on some sites, when it preempts."""
    end = ending.at if ending is not None else None
    if end is None or end <= now:
        end = now + notice_s
    preempted = ending is not None and ending.preempted
    reason = FailureClass.PREEMPTED if preempted else FailureClass.TIME_LIMIT
    begin = now if preempted else max(now, end - notice_s)
    return DrainOrder(reason, begin, _over_by(begin, end))


def _over_by(begin: float, end: float) -> float:
    """When work has to be over, of which the nodes are taken away at `end`."""
    return end - min(RESERVE_S, max(0.0, end - begin) / 2)
