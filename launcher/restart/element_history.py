"""What came before an element, and what has been finished since: the history that the policy counts.

Every element notes at its start how much was finished then. So progress is known at its end, however it ends, by
whoever comes after it: an element that was killed at once leaves no word of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from curator_slurm.common.json_fields import checked, made
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.ranges import format_numbers, parse_numbers
from curator_slurm.launcher.restart.policy import History
from curator_slurm.launcher.runs.attempt_names import base_of, is_attempt, newest_names, order_of
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.finished_sources import finished_sources
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths
from curator_slurm.launcher.runs.restart_request import read_request
from curator_slurm.launcher.runs.submissions import Submission, read_submissions, submission_of


@dataclass(frozen=True, kw_only=True)
class ElementHistory:
    """history.json of an element: restarts before it, and what was finished when it began.

    `without_progress` counts the attempts in a row, up to the one before, that had finished nothing.
    """

    shards: str
    previous: str = ""
    restarts: int = 0
    without_progress: int = 0
    shards_done: int = 0
    sources_finished: int = 0
    schema: int = 1

    @classmethod
    def from_json(cls, value: Any) -> ElementHistory:
        """Raises ValueError where it is none."""
        return made(cls, checked(cls, value))

    @property
    def numbers(self) -> list[int]:
        return parse_numbers(self.shards) if self.shards else []


def read_history(cluster: ClusterPaths) -> ElementHistory | None:
    """What an element noted at its start; None where it did not come so far."""
    try:
        value = read_json(cluster.history)
        return None if value is None else ElementHistory.from_json(value)
    except (OSError, ValueError):
        return None


def begin_history(cluster: ClusterPaths, submission: int | None, shards: Sequence[int]) -> ElementHistory:
    """The history of an element that begins now; written down as far as storage allows."""
    run = cluster.run
    before = previous_element(cluster, submission)
    earlier = read_history(before) if before is not None else None
    count = 0 if before is None else 1
    done, sources = _finished(run, shards)
    history = ElementHistory(
        shards=format_numbers(shards),
        previous=before.name if before is not None else "",
        restarts=count + (earlier.restarts if earlier else 0),
        without_progress=count if earlier is None else history_now(run, earlier).without_progress,
        shards_done=done,
        sources_finished=sources,
    )
    with contextlib.suppress(OSError):
        write_json(cluster.history, asdict(history), mode=0o600)
    return history


def history_now(run: RunPaths, begun: ElementHistory) -> History:
    """What the policy is to know at the end of the attempt that began so."""
    done, sources = _finished(run, begun.numbers)
    progress = done > begun.shards_done or sources > begun.sources_finished
    return History(begun.restarts, 0 if progress else begun.without_progress + 1)


def previous_element(cluster: ClusterPaths, submission: int | None) -> ClusterPaths | None:
    """The element after which this one goes on: of the same job, the one that submitted it, or of the link before."""
    run = cluster.run
    with contextlib.suppress(OSError):
        names = os.listdir(run.elements)  # noqa: PTH208 (thousands of folders)
        own = [n for n in names if base_of(n) == cluster.job_id and order_of(n) < order_of(cluster.name)]
        if own:
            return ClusterPaths(run.elements / max(own, key=order_of), run)
        name = _of_earlier_job(run, submission, cluster.job_id, newest_names(names))
        if name and name != cluster.name:
            return ClusterPaths(run.elements / name, run)
    return None


def _of_earlier_job(run: RunPaths, number: int | None, element_id: str, newest: dict[str, str]) -> str:
    if number is None:
        return ""
    try:
        submissions = read_submissions(run)
    except StorageError:
        return ""
    own = submission_of(submissions, number)
    if own is None:
        return ""
    if own.record.restart_of:
        return own.record.restart_of
    if own.record.link_of is None:
        return ""
    task = element_id.partition("_")[2]
    links = [each for each in submissions if _is_link_before(each, own)]
    ids = [f"{each.record.job_id}_{task}" if task else str(each.record.job_id) for each in reversed(links)]
    return next((newest[each] for each in ids if each in newest), "")


def _is_link_before(each: Submission, own: Submission) -> bool:
    first = own.record.link_of
    return each.record.number < own.record.number and first in (each.record.link_of, each.record.number)


def shards_left(before: ClusterPaths | None, shards: Sequence[int]) -> list[int]:
    """Of the shards of an element that Slurm has started again, those that it goes on with.

    Where the one before it has asked for that: those that it named. Where that was cut short: all but those whose
    attempts ended by themselves. Where it had ended by itself, somebody wants all of it again.
    """
    if before is None:
        return list(shards)
    request = read_request(before)
    if request is not None and request.shards:
        return [shard for shard in shards if shard in set(request.shards)]
    if before.outcome.exists():
        return list(shards)
    return [shard for shard in shards if not before.attempt(shard).outcome.exists()] or list(shards)


def _finished(run: RunPaths, shards: Collection[int]) -> tuple[int, int]:
    """How many of these shards are done, and how many sources of the others are finished."""
    try:
        done = done_shards(run)
    except StorageError:
        return 0, 0
    left = [shard for shard in shards if shard not in done]
    return len(shards) - len(left), sum(_sources(run, shard) for shard in left)


def _sources(run: RunPaths, shard: int) -> int:
    """Source partitions of a shard that are finished; the newest attempt may not have taken them over yet."""
    try:
        names = os.listdir(run.attempts_of(shard))  # noqa: PTH208 (thousands of folders)
    except OSError:
        return 0
    attempts = sorted(filter(is_attempt, names), key=order_of)[-2:]
    return max((finished_sources(run, shard, name) for name in attempts), default=0)
