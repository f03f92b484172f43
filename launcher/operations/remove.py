"""Removing runs that are over: their directories, and no outputs that only they have unless that is asked for."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import CuratorSlurmError, StorageError
from curator_slurm.launcher.runs import owners
from curator_slurm.launcher.runs.lock import COLLECT_LOCK, SUBMISSIONS_LOCK, RunLock, is_locked
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.travelling_package import remove_unused
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import observe, statuses_of
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.unpublished import only_here

_DOOMED = ".removing-"


@dataclass(frozen=True)
class Candidate:
    """A run that may be removed; `kept` says why it stays, and is empty where it goes."""

    run: Run
    state: RunState
    ended: float
    """When it ended, as far as its files say, else when it was submitted; 0 where neither is known."""
    kept: str = ""


def candidates(runs: Sequence[Run], *, outputs: bool = False) -> list[Candidate]:
    """What `remove` would do with these runs; with `outputs`, outputs that only the run has go, too."""
    return [_judge(run, status, outputs) for run, status in zip(runs, statuses_of(runs), strict=True)]


def remove(run: Run, *, outputs: bool = False) -> None:
    """Remove the directory of a run that is over, and the folder of its name once that is empty.

    It vanishes by one rename: a removal that is interrupted leaves nothing that looks like a run, and the next one
    of the same name finishes it.

    Raises:
        StorageError: it is not over, or has outputs that only it has, or cannot be removed.
        ForeignRunError: it is somebody else's.
        RunBusyError: another command is at it.
    """
    owners.check_own(run.paths, "remove")
    parent = run.paths.root.parent
    doomed = parent / f"{_DOOMED}{run.run_id}"
    with RunLock(run.paths.lock(SUBMISSIONS_LOCK), "remove"):
        if kept := _judge(run, observe(run, being_submitted=False)[1], outputs, besides="remove").kept:
            raise StorageError(f"run {run.run_id} {kept}")
        try:
            run.paths.root.rename(doomed)
        except OSError as error:
            raise StorageError(f"run {run.run_id} cannot be removed: {storage_errors.what(error)}") from error
    for left in parent.glob(f"{_DOOMED}*"):
        _delete(left)
    remove_unused(parent, time.time())
    with contextlib.suppress(OSError):
        parent.rmdir()


def _judge(run: Run, status: RunStatus, outputs: bool, besides: str = "") -> Candidate:
    record = run.record
    ended = status.ended or (record.created if record else 0.0)
    return Candidate(run, status.state, ended, _why_kept(run, status, outputs, besides))


def _why_kept(run: Run, status: RunStatus, outputs: bool, besides: str) -> str:
    root = run.paths.root
    if run.record is None:
        return (
            f"cannot be read: {run.problem}.\nWhether it has ended is unknown; once nothing of it is in the queue, "
            f"rm -r {root} removes it"
        )
    try:
        owners.check_own(run.paths, "remove")
    except CuratorSlurmError as error:
        return f"stays: {error}"
    if status.state is RunState.UNKNOWN:
        return f"stays, because it is unknown whether it has ended: {status.message}"
    if not status.state.is_final:
        return f"is still {status.state}; `curator-slurm cancel {run.run_id}` ends it"
    if is_locked(run.paths.lock(SUBMISSIONS_LOCK), besides) or is_locked(run.paths.lock(COLLECT_LOCK)):
        return "stays: another command is working on it"
    if not outputs and (folder := only_here(run)) is not None:
        return f"has outputs that are nowhere else, in {folder}.\nMove them, or give --outputs to remove them with it"
    return ""


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StorageError(
            f"{folder}, which was a run, cannot be removed whole: {storage_errors.what(error)}.\n"
            f"Give yourself the right to, then rm -r {folder}"
        ) from error
