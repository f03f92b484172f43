"""Which elements of a run have not ended, and which of them a request to cancel means."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.local_process import is_process_alive
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, latest_submission
from curator_slurm.launcher.status.ask_slurm import tasks_of

Active = Mapping[int, Sequence[int]]
"""Number of a submission -> elements of it."""


def active_elements(run: Run, submissions: Sequence[Submission]) -> Active:
    """The elements that have not ended, by Slurm or, of a local run, by its process.

    Raises:
        SlurmError: Slurm cannot be asked.
        UsageError: a local run belongs to another machine.
    """
    assert run.record is not None
    if run.record.is_local:
        return _local(run, submissions)
    numbers = {submission.record.job_id: submission.record.number for submission in submissions}
    found: dict[int, set[int]] = {}
    for entry in tasks_of(submissions):
        if not entry.state.is_final:
            found.setdefault(numbers[entry.job_id], set()).update(entry.tasks or ())
    return {number: sorted(elements) for number, elements in found.items()}


def _local(run: Run, submissions: Sequence[Submission]) -> Active:
    latest = latest_submission(submissions)
    if latest is None:
        return {}
    record = latest.record
    if record.host != socket.gethostname():
        raise UsageError(f"run {run.run_id} runs on {record.host}: cancel it there")
    if record.pid is None or not is_process_alive(record.pid, record.pid_started):
        return {}
    return {record.number: [each.element for each in latest.elements]}


def elements_to_end(
    submissions: Sequence[Submission], active: Active, shards: Sequence[int] | None, numbers: Sequence[int] | None
) -> Active:
    """Of the active elements, those that hold one of these shards, or are of these submissions."""
    chosen = {}
    for submission in submissions:
        number = submission.record.number
        elements = set(active.get(number, ()))
        if numbers is not None and number not in numbers:
            continue
        if shards is not None:
            elements &= {each.element for each in submission.elements if set(shards) & set(each.shards)}
        if elements:
            chosen[number] = sorted(elements)
    return chosen
