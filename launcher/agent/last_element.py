"""Secrets at the end of an element: its token and keys go, and with the run's last element all that is secret."""

from __future__ import annotations

import contextlib
import os

from curator_slurm.launcher.agent.credentials import remove_credentials
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.runs.attempt_names import newest_names
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.epoch import read_epoch
from curator_slurm.launcher.runs.manifest import count_shards
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.restart_request import How, goes_on, read_request
from curator_slurm.launcher.runs.secrets import remove_secrets, remove_secrets_if
from curator_slurm.launcher.runs.submissions import Submission, read_submissions


def remove_secrets_of(cluster: ClusterPaths, *, array: bool) -> None:
    """Call it at the end of an element, of an array once more when its outcome is written: two may be the last."""
    with contextlib.suppress(OSError):
        remove_credentials(cluster)
    if not array:
        if not _is_followed(cluster):
            remove_secrets(cluster.run)
    else:
        remove_secrets_if(cluster.run, lambda: _is_done(cluster.run) or _have_all_ended(cluster))


def is_over(cluster: ClusterPaths, *, array: bool) -> bool:
    """Whether a run has ended with this element, whose outcome is written."""
    if not array:
        return not _is_followed(cluster)
    return _is_done(cluster.run) or _have_all_ended(cluster)


def _is_followed(cluster: ClusterPaths) -> bool:
    """Whether another job goes on after this one, or is at its work already, and needs them."""
    newest = read_epoch(cluster.attempt(0))
    if newest is not None and newest.attempt != cluster.name:
        return True
    request = read_request(cluster)
    return request is not None and request.how is not How.DROP


def _is_done(run: RunPaths) -> bool:
    with contextlib.suppress(OSError, StorageError):
        return len(done_shards(run)) >= count_shards(run.manifest)
    return False


def _have_all_ended(cluster: ClusterPaths) -> bool:
    """Whether this is the last element that may exist; of those that Slurm has ended, commands know."""
    run = cluster.run
    try:
        newest = newest_names(os.listdir(run.elements))  # noqa: PTH208 (thousands of folders)
        submissions = [each for each in read_submissions(run) if each.record.may_exist]
    except (OSError, StorageError):
        return False
    return bool(submissions) and all(_has_ended(cluster, submission, newest) for submission in reversed(submissions))


def _has_ended(cluster: ClusterPaths, submission: Submission, newest: dict[str, str]) -> bool:
    """The last elements first: they begin last, so that one look is enough while others are to come."""
    record = submission.record
    if record.job_id is None:
        return False
    cancelled = record.cancelled_elements()
    for each in reversed(submission.elements):
        name = newest.get(record.element_id(each.element, record.job_id))
        if name is None and each.element in cancelled:
            continue  # it was pending
        if name is None:
            return False
        element = ClusterPaths(cluster.run.elements / name, cluster.run)
        if (name != cluster.name and not element.outcome.exists()) or goes_on(element) is not None:
            return False
    return True
