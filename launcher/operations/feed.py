"""Submitting the rest of a run as there is room in the queue: by `--feed`, and by the collect job.

Each look is a `retry` of the shards that were never submitted. So two that feed one run submit no shard twice, and
what one leaves when it is killed is found as after any other submission.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from curator_slurm.launcher.errors import CuratorSlurmError, RunBusyError, SlurmError
from curator_slurm.launcher.operations.collect_job import (
    collects_itself,
    has_collect_job,
    is_collected_after,
    not_accepted,
    submit_collect_job,
    try_collect_job,
)
from curator_slurm.launcher.operations.launch import is_submit_limit
from curator_slurm.launcher.operations.queue_limit import queued_jobs
from curator_slurm.launcher.operations.retry import RetryRequest, retry
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.operations.select_shards import Selection
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs import owners, registry
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.lock import FEED_LOCK, RunLock
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.sharding.array_limits import taken
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.status.ask_slurm import tasks_of

FEED_S = 60.0
"""Between two looks at the queue; `limits.poll_s` of the site, where that is longer."""
_LOOKS = 10
"""Looks at a full queue before a submission is tried all the same."""
ROOM_S = 600.0
"""How long a collect job waits for room before it leaves the rest to `retry`: it occupies a processor meanwhile."""


@dataclass(frozen=True)
class Fed:
    """What one look came to: how many shards were submitted, how many are left, and why these are."""

    submitted: int
    left: int
    why: str = ""
    is_over: bool = False
    """Whether nothing more is to be done, although shards may be left."""


def unsubmitted(run: Run) -> int:
    """How many shards are neither done nor in a submission that has reached Slurm, or may have."""
    assert run.record is not None
    places = {
        shard
        for submission in read_submissions(run.paths)
        if submission.record.may_exist
        for element in submission.elements
        for shard in element.shards
    }
    return run.record.shards - len(places | done_shards(run.paths).keys())


def feed_once(run: Run, environ: Mapping[str, str]) -> Fed:
    """Submit what there is room for.

    Raises:
        CuratorSlurmError: it is refused, and would be again.
    """
    request = RetryRequest(Selection(unsubmitted=True), feeding=True)
    try:
        result = retry(run, request, environ)
    except (SlurmError, RunBusyError) as error:
        if not _may_pass(error):
            raise
        return Fed(0, unsubmitted(run), _first_line(error))
    left = unsubmitted(run)
    cancelled = result.run.record is not None and result.run.record.cancelled is not None
    if result.launched is None:
        return Fed(0, left, result.nothing, is_over=cancelled or not left)
    refused = result.launched.error
    if refused is not None and not _may_pass(refused):
        raise refused
    return Fed(len(result.launched.shards), left, _first_line(refused) if refused else "", is_over=not left)


def feed(run: Run, environ: Mapping[str, str], tell: Callable[[Fed], None], stopped: Callable[[float], bool]) -> Fed:
    """Submit as there is room until nothing is left, or `stopped`, which is given seconds to wait, says so.

    Where nothing was accepted, Slurm is only asked how many jobs there are until there are fewer, or for some looks.

    Raises:
        RunBusyError: another process feeds this run.
        CuratorSlurmError: a submission is refused, and would be again.
    """
    owners.check_own(run.paths, "retry")
    plan = read_plan(run)
    pause_s = max(FEED_S, _poll_s(plan))
    with RunLock(run.paths.lock(FEED_LOCK), "feed", patience_s=0.0) as lock:
        full, looks = None, 0
        fed = Fed(0, unsubmitted(run))
        while True:
            queued, looks = queued_jobs(Slurm()), looks + 1
            if queued is not None and (full is None or queued < full or looks > _LOOKS):
                lock.check()
                fed, looks = feed_once(run, environ), 0
                tell(fed)
                full = None if fed.submitted else queued
            if fed.is_over:
                break
            if stopped(pause_s):
                return fed
        while lack := _without_collect_job(run, plan):
            tell(lack)
            if lack.is_over or stopped(pause_s):
                break
        return fed


def go_on(run: Run, environ: Mapping[str, str], wait: Callable[[float], None] = time.sleep) -> Fed | None:
    """What the collect job of a run does first: it submits what had no room before, and a job that collects later.

    None where it is to collect now: all shards are done, or have ended, or nothing of it can be done here.
    """
    run = registry.load_run(run.paths.root)
    record = run.record
    if record is None or record.cancelled is not None or len(done_shards(run.paths)) >= record.shards:
        return None  # without a question to Slurm: it may not be there on this node
    left, plan = unsubmitted(run), read_plan(run)
    if not left:
        for _ in range(_LOOKS):
            if not any(each.record.is_being_submitted for each in read_submissions(run.paths)):
                break
            wait(FEED_S / _LOOKS)
        with contextlib.suppress(SlurmError):
            return _later(run, plan, 0)
        return None
    if plan.spec.environment.secrets:
        why = "its environment.secrets are known only where it was submitted"
        return Fed(0, left, why, is_over=True)
    waited = 0.0
    while True:
        try:
            fed = feed_once(run, environ)
            if fed.submitted or fed.is_over:
                break
            if waited >= ROOM_S:
                return _later(run, plan, left) or fed
        except SlurmError as error:
            return Fed(0, left, _first_line(error), is_over=True)
        wait(FEED_S)
        waited += FEED_S
    while fed.submitted and (lack := _without_collect_job(run, plan)):
        if lack.is_over or waited >= ROOM_S:
            return replace(fed, why=lack.why)
        wait(FEED_S)
        waited += FEED_S
    return fed


def _without_collect_job(run: Run, plan: Plan) -> Fed | None:
    """Why no job collects the outputs when the newest elements have ended: they may have taken the last room.

    None where one does, or nobody wants one; it is submitted here where there is none, and room for it.
    """
    record = registry.load_run(run.paths.root).record
    if not collects_itself(plan) or record is None or record.cancelled is not None:
        return None
    submissions = read_submissions(run.paths)
    newest = next((each.record.job_id for each in reversed(submissions) if each.record.job_id), None)
    if newest is None or is_collected_after(run.paths, newest):
        return None
    try:
        if has_collect_job(run.paths, Slurm()):
            return None
        active = taken(submissions, tasks_of(submissions))
    except SlurmError as error:
        return Fed(0, 0, _first_line(error), is_over=not _may_pass(error))
    refused = try_collect_job(run, plan, sorted(active, key=int))
    if refused is None:
        return None
    again = isinstance(refused, CuratorSlurmError) and _may_pass(refused)
    return Fed(0, 0, not_accepted(run, refused), is_over=not again)


def _later(run: Run, plan: Plan, left: int) -> Fed | None:
    """Leave it to a further collect job, where elements of the run go on and there is none; else None."""
    submissions = read_submissions(run.paths)
    active = taken(submissions, tasks_of(submissions))
    if not active or has_collect_job(run.paths, Slurm()):
        return None
    problem = submit_collect_job(run, plan, sorted(active, key=int))
    return Fed(0, left, problem or "elements of the run are still in the queue; a further job collects after them")


def _poll_s(plan: Plan) -> float:
    return float(plan.at_site().limits.poll_s or 0.0)


def _may_pass(error: CuratorSlurmError) -> bool:
    """Whether the same may go well later: there was no room, no answer, or another command at work."""
    if not isinstance(error, SlurmError):
        return isinstance(error, RunBusyError)
    return is_submit_limit(error) or error.returncode in (None, 0) or bool(messages.TRANSIENT.search(error.stderr))


def _first_line(error: CuratorSlurmError) -> str:
    return str(error).splitlines()[0]
