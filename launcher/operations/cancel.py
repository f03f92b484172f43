"""Cancelling a run, or some of its shards: recorded first, asked for once, and waited for shortly."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common.in_words import duration
from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, StorageError, UsageError
from curator_slurm.launcher.local_process import stop_job, wait_for_end
from curator_slurm.launcher.operations.active import Active, active_elements, elements_to_end
from curator_slurm.launcher.ranges import format_numbers, some_numbers
from curator_slurm.launcher.runs import owners, registry
from curator_slurm.launcher.runs.lock import SUBMISSIONS_LOCK, RunLock
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.secrets import remove_secrets
from curator_slurm.launcher.runs.submissions import CancelRequest, Submission, collect_jobs
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.attempt_files import newest_elements
from curator_slurm.launcher.status.gather import status_of
from curator_slurm.launcher.status.reconcile import reconcile

GRACE_S = 25.0
"""How long a local run has to collect its logs and to stop Ray before it is killed."""
PATIENCE_S = 10.0
"""How long to wait for Slurm to end a job; it takes up to its KillWait, 30 seconds by default."""
_POLL_S = 0.5


@dataclass(frozen=True)
class Cancelled:
    """What cancelling a run came to; `done` is False when its job has not ended yet."""

    run_id: str
    state: RunState
    message: str
    done: bool = True


@dataclass(frozen=True)
class _Requested:
    """What was told to end: submissions, and elements by the number of their submission."""

    run: Run
    submissions: Sequence[Submission]
    elements: Mapping[int, Sequence[int]]

    @property
    def shards(self) -> list[int]:
        return sorted(
            shard
            for submission in self.submissions
            for each in submission.elements
            if each.element in self.elements[submission.record.number]
            for shard in each.shards
        )


def cancel_run(run: Run, *, patience_s: float = PATIENCE_S, grace_s: float = GRACE_S) -> Cancelled:
    """End a run; one that has ended already is left as it is.

    Raises:
        SlurmError: Slurm cannot be asked, or refuses.
        ForeignRunError: it is somebody else's.
    """
    owners.check_own(run.paths, "cancel")
    before = status_of(run)
    if before.state.is_final:
        return Cancelled(run.run_id, before.state, f"has ended already: {before.state}")
    requested = _request(run)
    run = requested.run
    assert run.record is not None
    if not run.record.job_ids:
        return Cancelled(run.run_id, RunState.CANCELLED, "was never submitted")
    if run.record.is_local and not all(_ends(submission, grace_s) for submission in requested.submissions):
        return Cancelled(run.run_id, RunState.CANCELLED, f"did not end within {duration(grace_s)} and was killed")
    deadline = time.monotonic() + patience_s
    if _have_ended(requested, deadline):
        remove_secrets(run.paths)
    return _outcome(run, deadline)


def cancel_part(
    run: Run, shards: Sequence[int] | None, submissions: Sequence[int] | None, *, patience_s: float = PATIENCE_S
) -> Cancelled:
    """End the elements of some shards or submissions of an array.

    Raises:
        SlurmError: Slurm cannot be asked, or refuses.
        UsageError: a shard or a submission does not exist, or the run is no array.
    """
    if run.record is None or not run.record.array:
        raise UsageError(f"run {run.run_id} has no `shards`; `curator-slurm cancel {run.run_id}` ends it as a whole")
    if run.record.is_local:
        raise UsageError(
            f"run {run.run_id} processes its shards one after the other on this machine; "
            f"`curator-slurm cancel {run.run_id}` ends it, and retry continues with what is not done"
        )
    requested = _request(run, shards, submissions)
    done = _have_ended(requested, time.monotonic() + patience_s)
    state = status_of(registry.load_run(run.paths.root)).state
    return Cancelled(run.run_id, state, _words(requested, shards, done=done), done)


def request_cancel(run: Run) -> None:
    """Record that the run is to end, and tell Slurm or its process; does not wait."""
    _request(run)


def _request(run: Run, shards: Sequence[int] | None = None, numbers: Sequence[int] | None = None) -> _Requested:
    """Record what is to end, then tell Slurm or the process; without shards and numbers, everything."""
    if run.record is None:
        raise StorageError(f"run {run.run_id} cannot be cancelled: {run.problem}")
    owners.check_own(run.paths, "cancel")
    whole = shards is None and numbers is None
    with RunLock(run.paths.lock(SUBMISSIONS_LOCK), "cancel"):
        run, submissions = reconcile(registry.load_run(run.paths.root))
        assert run.record is not None
        _check(run, submissions, shards, numbers)
        active = active_elements(run, submissions)
        chosen = elements_to_end(submissions, active, shards, numbers)
        ending = [submission for submission in submissions if submission.record.number in chosen]
        when, before = time.time(), run.record.cancelled
        if whole:
            run = registry.mark_cancelled(run, before or when)
        for submission in ending:
            note = CancelRequest(time=when, elements=format_numbers(chosen[submission.record.number]))
            submission.update(cancelled=(*submission.record.cancelled, note))
        marks = _mark(run, ending, chosen)
        try:
            _tell(run, ending, chosen, whole=whole)
        except CuratorSlurmError:
            for mark in marks:
                mark.unlink(missing_ok=True)
            for submission in ending:
                submission.write(submission.record)
            if whole:
                registry.mark_cancelled(run, before)
            raise
    return _Requested(run, ending, chosen)


def _mark(run: Run, ending: Sequence[Submission], chosen: Active) -> list[Path]:
    """Tell the elements, too: a batch script may be about to let the run go on after its job."""
    newest, marks = newest_elements(run.paths), []
    for submission in ending:
        record = submission.record
        for element in chosen[record.number]:
            name = newest.get(record.element_id(element, str(record.job_id)))
            if name is not None:
                mark = ClusterPaths(run.paths.elements / name, run.paths).cancelled
                with contextlib.suppress(OSError):
                    mark.touch(mode=0o600)
                    marks.append(mark)
    return marks


def _check(
    run: Run, submissions: Sequence[Submission], shards: Sequence[int] | None, numbers: Sequence[int] | None
) -> None:
    assert run.record is not None
    total = run.record.shards
    if beyond := [shard for shard in shards or () if shard >= total]:
        raise UsageError(f"there is no shard {format_numbers(beyond)}: the shards of the run are 0 to {total - 1}")
    known = {submission.record.number for submission in submissions}
    if unknown := [number for number in numbers or () if number not in known]:
        there = f"there are {format_numbers(known)}" if known else "nothing was submitted"
        raise UsageError(f"there is no submission {format_numbers(unknown)}: {there}")


def _tell(run: Run, ending: Sequence[Submission], chosen: Active, *, whole: bool) -> None:
    """SIGTERM to a local process; one call of scancel for all jobs of a cluster."""
    assert run.record is not None
    if run.record.is_local:
        for submission in ending:
            _signal(submission, signal.SIGTERM)
        return
    ids: dict[str | None, list[str]] = {}
    for submission in ending:
        record = submission.record
        every = whole or len(chosen[record.number]) == record.elements
        target = str(record.job_id) if every else f"{record.job_id}_[{format_numbers(chosen[record.number])}]"
        ids.setdefault(record.slurm_cluster, []).append(target)
    if whole and (jobs := collect_jobs(run.paths)):
        ids.setdefault(None, []).extend(jobs)
    for cluster, targets in ids.items():
        Slurm(cluster).cancel(targets)


def _ends(submission: Submission, grace_s: float) -> bool:
    """Wait for the end of a local process; kill it when it does not end by itself."""
    pid, started = submission.record.pid, submission.record.pid_started
    assert pid is not None
    if wait_for_end(pid, started, grace_s):
        return True
    _signal(submission, signal.SIGKILL)
    wait_for_end(pid, started, 5)
    return False


def _signal(submission: Submission, signum: signal.Signals) -> None:
    """Signal the process of a local run, which must be of that very run whatever the record says.

    Raises:
        CuratorSlurmError: it is not.
    """
    record = submission.record
    assert record.pid is not None
    if not stop_job(record.pid, record.pid_started, str(record.job_id), signum):
        raise CuratorSlurmError(
            f"process {record.pid}, which {submission.paths.record} names, was not started for job {record.job_id}: "
            "it was not signalled. If the run still goes on, look for its processes with ps and end them by hand"
        )


def _have_ended(requested: _Requested, deadline: float) -> bool:
    """Whether all that was told to end does so in time."""
    while True:
        try:
            active = active_elements(requested.run, requested.submissions)
        except SlurmError:
            return False
        if not any(set(elements) & set(active.get(number, ())) for number, elements in requested.elements.items()):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)


def _outcome(run: Run, deadline: float) -> Cancelled:
    while True:
        state = status_of(run).state
        if state is RunState.CANCELLED:
            return Cancelled(run.run_id, state, "was cancelled")
        if state.is_final:
            return Cancelled(run.run_id, state, f"ended before it could be cancelled: {state}")
        if time.monotonic() > deadline:
            return Cancelled(run.run_id, state, "is being cancelled; its job has not ended yet", done=False)
        time.sleep(_POLL_S)


def _words(requested: _Requested, shards: Sequence[int] | None, *, done: bool) -> str:
    held, count = requested.shards, sum(map(len, requested.elements.values()))
    not_active = sorted(set(shards or ()) - set(held))
    idle = f"; not active: {some_numbers(not_active)}" if not_active else ""
    if not count:
        return f"has no such element pending or running{idle}"
    what = f"{count:,} element{'' if count == 1 else 's'} with shards {some_numbers(held)}"
    also = sorted(set(held) - set(shards)) if shards is not None else []
    others = f" ({some_numbers(also)} were in the same element{'' if count == 1 else 's'})" if also else ""
    return f"{'cancelled' if done else 'is cancelling'} {what}{others}{idle}"
