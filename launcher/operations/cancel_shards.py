"""Cancelling a sharded run, or some of its shards: asked for once, recorded first, in one call of scancel."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from curator_slurm.launcher.errors import SlurmError, UsageError
from curator_slurm.launcher.ranges import format_numbers
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Request, Submission, collect_jobs
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.status.ask_slurm import tasks_of
from curator_slurm.launcher.status.reconcile import reconcile

_POLL_S = 0.5


@dataclass(frozen=True)
class CancelledShards:
    """What was asked of Slurm: elements by the number of their submission, and whether they have all ended."""

    elements: Mapping[int, Sequence[int]] = field(default_factory=dict)
    shards: Sequence[int] = ()
    idle: Sequence[int] = ()
    """Shards that were named, but are not under way."""
    done: bool = True


def cancel_shards(
    run: Run,
    *,
    shards: Sequence[int] | None = None,
    windows: Sequence[int] | None = None,
    patience_s: float = 10.0,
) -> CancelledShards:
    """End the elements that are under way: all, those of some shards, or those of some submissions.

    Raises:
        SlurmError: Slurm cannot be asked, or refuses.
        UsageError: a shard or a submission does not exist.
    """
    whole = shards is None and windows is None
    with RunLock(run.paths.lock("submissions"), "cancel"):
        run, submissions = reconcile(registry.load_run(run.paths.root))
        assert run.record is not None
        _check(run, submissions, shards, windows)
        active = _active(submissions)
        chosen = {
            submission.record.number: elements
            for submission in submissions
            if (elements := _chosen(submission, active, shards, windows))
        }
        when = time.time()
        before = run.record.cancelled
        if whole:
            run = registry.mark_cancelled(run, before or when)
        by_number = {submission.record.number: submission for submission in submissions}
        for number, elements in chosen.items():
            _note(by_number[number], elements, when)
        try:
            _scancel(run, [by_number[number] for number in chosen], chosen, whole=whole)
        except SlurmError:
            for number in chosen:
                by_number[number].write(by_number[number].record)
            if whole:
                registry.mark_cancelled(run, before)
            raise
    held = [shard for number, elements in chosen.items() for shard in _shards(by_number[number], elements)]
    ended = _wait([by_number[number] for number in chosen], chosen, patience_s)
    if whole and ended:
        shutil.rmtree(run.paths.secrets, ignore_errors=True)
    return CancelledShards(chosen, sorted(held), sorted(set(shards or ()) - set(held)), ended)


def _check(
    run: Run, submissions: Sequence[Submission], shards: Sequence[int] | None, windows: Sequence[int] | None
) -> None:
    total = run.record.shards if run.record else 0
    if beyond := [shard for shard in shards or () if shard >= total]:
        raise UsageError(f"there is no shard {format_numbers(beyond)}: the shards of the run are 0 to {total - 1}")
    known = {submission.record.number for submission in submissions}
    if unknown := [number for number in windows or () if number not in known]:
        there = f"there are {format_numbers(known)}" if known else "nothing was submitted"
        raise UsageError(f"there is no window {format_numbers(unknown)}: {there}")


def _active(submissions: Sequence[Submission]) -> dict[str, set[int]]:
    """Array -> its elements that have not ended."""
    found: dict[str, set[int]] = {}
    for entry in tasks_of(submissions):
        if not entry.state.is_final:
            found.setdefault(entry.job_id, set()).update(entry.tasks or ())
    return found


def _chosen(
    submission: Submission,
    active: Mapping[str, set[int]],
    shards: Sequence[int] | None,
    windows: Sequence[int] | None,
) -> list[int]:
    """The elements of a submission that are to end."""
    record = submission.record
    elements = active.get(record.job_id or "", set())
    if windows is not None and record.number not in windows:
        return []
    if shards is not None:
        wanted = set(shards)
        elements = {each.element for each in submission.elements if wanted & set(each.shards)} & elements
    return sorted(elements)


def _shards(submission: Submission, elements: Iterable[int]) -> list[int]:
    numbers = set(elements)
    return [shard for element in submission.elements if element.element in numbers for shard in element.shards]


def _note(submission: Submission, elements: Sequence[int], when: float) -> None:
    request = Request(time=when, elements=format_numbers(elements))
    submission.update(cancelled=(*submission.record.cancelled, request))


def _scancel(run: Run, submissions: Sequence[Submission], chosen: Mapping[int, Sequence[int]], *, whole: bool) -> None:
    """One call for all arrays of a cluster."""
    ids: dict[str | None, list[str]] = {}
    for submission in submissions:
        record = submission.record
        numbers = format_numbers(chosen[record.number])
        every = len(chosen[record.number]) == record.elements
        target = str(record.job_id) if whole or every else f"{record.job_id}_[{numbers}]"
        ids.setdefault(record.slurm_cluster, []).append(target)
    if whole and (jobs := collect_jobs(run.paths)):
        ids.setdefault(None, []).extend(jobs)
    for cluster, targets in ids.items():
        Slurm(cluster).cancel(targets)


def _wait(submissions: Sequence[Submission], chosen: Mapping[int, Sequence[int]], patience_s: float) -> bool:
    """Whether all chosen elements end within `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            active = _active(submissions)
        except SlurmError:
            return False
        left = [
            element
            for submission in submissions
            for element in chosen[submission.record.number]
            if element in active.get(submission.record.job_id or "", ())
        ]
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
