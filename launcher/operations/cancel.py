"""Cancelling a run: asked for once, recorded, and waited for shortly."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from curator_slurm.launcher.errors import CuratorSlurmError, UsageError
from curator_slurm.launcher.local_process import stop_process, wait_for_end
from curator_slurm.launcher.operations.cancel_shards import CancelledShards, cancel_shards
from curator_slurm.launcher.ranges import some_numbers
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import SubmissionRecord, latest_submission, read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of

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


def cancel_run(run: Run, *, patience_s: float = PATIENCE_S, grace_s: float = GRACE_S) -> Cancelled:
    """End a run; one that has ended already is left as it is."""
    before = status_of(run)
    if before.state.is_final:
        return Cancelled(run.run_id, before.state, f"has ended already: {before.state}")
    if _is_array(run):
        cancel_shards(run, patience_s=patience_s)
        return _wait(registry.load_run(run.paths.root), 0.0)
    request_cancel(run)
    run = registry.load_run(run.paths.root)
    latest = latest_submission(read_submissions(run.paths))
    submission = latest.record if latest else None
    if submission is None:
        return Cancelled(run.run_id, RunState.CANCELLED, "was never submitted")
    if submission.pid is not None and not _ends(submission, grace_s):
        return Cancelled(run.run_id, RunState.CANCELLED, f"did not end within {grace_s:.0f} seconds and was killed")
    return _wait(run, patience_s)


def cancel_part(
    run: Run, shards: Sequence[int] | None, windows: Sequence[int] | None, *, patience_s: float = PATIENCE_S
) -> Cancelled:
    """End the elements of some shards or windows of a sharded run."""
    if run.record is None or not run.record.array:
        raise UsageError(f"run {run.run_id} has no shards; `curator-slurm cancel {run.run_id}` ends it as a whole")
    if run.record.is_local:
        raise UsageError(
            f"run {run.run_id} does its shards one after the other on this machine; "
            f"`curator-slurm cancel {run.run_id}` ends it, and retry goes on with what is not done"
        )
    result = cancel_shards(run, shards=shards, windows=windows, patience_s=patience_s)
    state = status_of(registry.load_run(run.paths.root)).state
    return Cancelled(run.run_id, state, _words(result, shards), result.done)


def _words(result: CancelledShards, shards: Sequence[int] | None) -> str:
    count = sum(map(len, result.elements.values()))
    idle = f"; not under way: {some_numbers(result.idle)}" if result.idle else ""
    if not count:
        return f"has no such element under way{idle}"
    what = f"{count:,} element{'' if count == 1 else 's'} with shards {some_numbers(result.shards)}"
    also = sorted(set(result.shards) - set(shards)) if shards is not None else []
    others = f" ({some_numbers(also)} were in the same element{'' if count == 1 else 's'})" if also else ""
    done = "cancelled" if result.done else "is cancelling"
    return f"{done} {what}{others}{idle}"


def _is_array(run: Run) -> bool:
    return run.record is not None and run.record.array and not run.record.is_local


def request_cancel(run: Run) -> None:
    """Record that the run is to end, and tell Slurm or its process; does not wait."""
    record = run.record
    if record is None:
        raise CuratorSlurmError(f"run {run.run_id} cannot be cancelled: {run.problem}")
    if _is_array(run):
        cancel_shards(run, patience_s=0.0)
        return
    registry.mark_cancelled(run, record.cancelled or time.time())
    latest = latest_submission(read_submissions(run.paths))
    if latest is None:
        return
    submission = latest.record
    try:
        if not record.is_local:
            Slurm(submission.slurm_cluster).cancel([str(submission.job_id)])
        elif submission.host != socket.gethostname():
            raise CuratorSlurmError(f"run {run.run_id} runs on {submission.host}: cancel it there")
        elif submission.pid is not None:
            stop_process(submission.pid, submission.pid_started, signal.SIGTERM)
    except CuratorSlurmError:
        registry.mark_cancelled(run, record.cancelled)
        raise


def _ends(submission: SubmissionRecord, grace_s: float) -> bool:
    """Wait for the end of a local run; kill it when it does not end by itself."""
    assert submission.pid is not None
    if wait_for_end(submission.pid, submission.pid_started, grace_s):
        return True
    stop_process(submission.pid, submission.pid_started, signal.SIGKILL)
    wait_for_end(submission.pid, submission.pid_started, 5)
    return False


def _wait(run: Run, patience_s: float) -> Cancelled:
    deadline = time.monotonic() + patience_s
    while True:
        state = status_of(run).state
        if state is RunState.CANCELLED:
            return Cancelled(run.run_id, state, "was cancelled")
        if state.is_final:
            return Cancelled(run.run_id, state, f"ended before it could be cancelled: {state}")
        if time.monotonic() > deadline:
            return Cancelled(run.run_id, state, "is being cancelled; its job has not ended yet", done=False)
        time.sleep(_POLL_S)
