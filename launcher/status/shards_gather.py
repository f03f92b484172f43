"""Gathers what the files of a sharded run and Slurm say at this moment, for `state.decide`.

Slurm is asked before the files are read, so that an element that ends in between is seen as done and not as lost.
However many shards there are, squeue is asked at most three times, and only the files of shards that are neither
done nor active are opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.local_process import is_process_alive
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.lock import is_locked
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, read_submissions
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.parse import ArrayTasks
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.decide import FRESH_HEARTBEAT_S
from curator_slurm.launcher.status.recover_job_ids import recover_job_ids
from curator_slurm.launcher.status.shards_decide import (
    AttemptFacts,
    ElementFacts,
    Place,
    ShardsDecision,
    ShardsFacts,
    decide,
    is_active,
    open_shards,
)
from curator_slurm.launcher.tails import last_lines

MOST_LOGS = 200
"""Of failed shards without any outcome, so many logs are searched for the reason."""
LOG_LINES = 30


@dataclass(frozen=True)
class Answer:
    """What Slurm said, and whether it could be asked."""

    tasks: Sequence[ArrayTasks] = ()
    error: str = ""


@dataclass(frozen=True)
class Gathered:
    """The facts about a run, and its submissions as they are now."""

    facts: ShardsFacts
    submissions: Sequence[Submission]

    def decide(self) -> ShardsDecision:
        return decide(self.facts)


def status_of(run: Run) -> ShardsDecision:
    """The state of a sharded run and its shards, now."""
    return gather(run).decide()


def gather(run: Run, *, brief: bool = False) -> Gathered:
    """The facts; with `brief`, without the outcomes of attempts, for views that show only the run's state."""
    assert run.record is not None
    submissions, answer = ask(run)
    return collect_facts(run, submissions, answer, brief=brief)


def ask(run: Run, submissions: Sequence[Submission] | None = None) -> tuple[Sequence[Submission], Answer]:
    """What Slurm says of a run's submissions, after those that were interrupted have been found again."""
    assert run.record is not None
    submissions = read_submissions(run.paths) if submissions is None else submissions
    if run.record.is_local:
        return recover_job_ids(run.paths, submissions, lambda: ()), Answer()
    try:
        submissions = recover_job_ids(run.paths, submissions, Slurm().commented)
        return submissions, Answer(tasks_of(submissions))
    except SlurmError as error:
        return submissions, Answer(error=str(error))


def tasks_of(submissions: Sequence[Submission]) -> list[ArrayTasks]:
    """What squeue says of all arrays of a run.

    Raises:
        SlurmError: it cannot be asked.
    """
    clusters: dict[str | None, list[str]] = {}
    for submission in submissions:
        if submission.record.job_id is not None:
            clusters.setdefault(submission.record.slurm_cluster, []).append(submission.record.job_id)
    return complete([tasks for cluster, ids in clusters.items() for tasks in Slurm(cluster).arrays(ids)], submissions)


def complete(found: Sequence[ArrayTasks], submissions: Iterable[Submission]) -> list[ArrayTasks]:
    """`found`, where a list of tasks that squeue has cut short stands for all elements that it does not name.

    Better to wait for an element that has ended than to submit one twice that has not.
    """
    if all(entry.tasks is not None for entry in found):
        return list(found)
    left = {submission.record.job_id: {each.element for each in submission.elements} for submission in submissions}
    for entry in found:
        left.get(entry.job_id, set()).difference_update(entry.tasks or ())
    return [
        replace(entry, tasks=tuple(sorted(left.get(entry.job_id, ())))) if entry.tasks is None else entry
        for entry in found
    ]


def collect_facts(
    run: Run,
    submissions: Sequence[Submission],
    answer: Answer,
    *,
    brief: bool = False,
    being_submitted: bool | None = None,
) -> Gathered:
    """The facts from an answer of Slurm and the files as they are now."""
    record, paths = run.record, run.paths
    assert record is not None
    places = _places(submissions)
    elements = _local_elements(run, submissions) if record.is_local else dict(_elements(answer.tasks))
    facts = ShardsFacts(
        run_id=run.run_id,
        now=time.time(),
        total=record.shards,
        done=done_shards(paths),
        places=places,
        elements=elements,
        cancelled_elements=frozenset(_cancelled(submissions)),
        cancelled=record.cancelled,
        interrupted=sum(submission.record.is_interrupted for submission in submissions),
        query_error=answer.error,
        being_submitted=is_locked(paths.lock("submissions")) if being_submitted is None else being_submitted,
        submitted=max((s.record.submitted for s in submissions if s.record.submitted is not None), default=None),
        created=record.created,
    )
    left = open_shards(facts)
    active = [shard for shard in left if is_active(facts, shard)]
    facts = replace(facts, begun=dict(_begun(paths, facts, active)))
    if not brief:
        over = [shard for shard in left if shard in places and not is_active(facts, shard)]
        facts = replace(facts, attempts=dict(_attempts(paths, facts, over)))
        if over:  # one of them may have been done since the folder of done files was read
            facts = replace(facts, done=done_shards(paths))
    return Gathered(facts, submissions)


def _places(submissions: Iterable[Submission]) -> dict[int, Place]:
    """The newest submission of each shard that may have reached Slurm."""
    places = {}
    for submission in submissions:
        record = submission.record
        if record.refused or record.lost is not None:
            continue
        for element in submission.elements:
            for shard in element.shards:
                places[shard] = Place(record.number, record.job_id, element.element)
    return places


def _elements(tasks: Iterable[ArrayTasks]) -> Iterator[tuple[str, ElementFacts]]:
    for entry in tasks:
        facts = ElementFacts(entry.state, entry.started, entry.ended, entry.reason)
        for number in entry.tasks or ():
            yield f"{entry.job_id}_{number}", facts


def _cancelled(submissions: Iterable[Submission]) -> Iterator[str]:
    for submission in submissions:
        job_id = submission.record.job_id
        for number in submission.record.cancelled_elements() if job_id else ():
            yield Place(submission.record.number, job_id, number).element_id or ""


def _local_elements(run: Run, submissions: Sequence[Submission]) -> dict[str, ElementFacts]:
    """The processes of a local run that live; they are elements of their own."""
    found = {}
    for submission in submissions:
        record = submission.record
        if record.job_id is not None and _is_alive(run.paths, submission):
            found[record.job_id] = ElementFacts(SlurmState.RUNNING, record.submitted)
    return found


def _is_alive(paths: RunPaths, submission: Submission) -> bool:
    record = submission.record
    if record.pid is not None and record.host == socket.gethostname():
        return is_process_alive(record.pid, record.pid_started)
    assert record.job_id is not None
    with contextlib.suppress(OSError):
        return abs(time.time() - (paths.element(record.job_id, 0) / "heartbeat").stat().st_mtime) < FRESH_HEARTBEAT_S
    return record.pid is not None and abs(time.time() - record.prepared) < FRESH_HEARTBEAT_S


def _begun(paths: RunPaths, facts: ShardsFacts, active: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Shards that a running element has begun, by the folder of the attempt."""
    for shard in active:
        place = facts.places[shard]
        element = facts.elements[place.element_id or ""]
        if element.state.run_state not in (RunState.RUNNING, RunState.STARTING):
            continue
        names = [name for name in _attempt_names(paths, shard) if name.rpartition(".")[0] == place.element_id]
        if names:
            yield shard, names[-1]


def _attempt_names(paths: RunPaths, shard: int) -> list[str]:
    """Names of the attempts at a shard, oldest first."""
    try:
        names = os.listdir(f"{paths.attempts}/{shard:05d}")  # noqa: PTH208 (thousands of folders)
    except OSError:
        return []
    return sorted(names, key=attempt_order) if len(names) > 1 else names


def attempts_at(paths: RunPaths, shard: int) -> list[AttemptPaths]:
    """The attempts at a shard, oldest first."""
    folder = paths.attempts / f"{shard:05d}"
    return [AttemptPaths(folder / name, paths) for name in _attempt_names(paths, shard)]


def attempt_order(name: str) -> list[int]:
    """Orders names of attempts by time: job ids only grow, and so do restarts of one job."""
    return [int(part) for part in re.findall(r"\d+", name)]


def _attempts(paths: RunPaths, facts: ShardsFacts, shards: Iterable[int]) -> Iterator[tuple[int, AttemptFacts]]:
    """What is left of the newest attempt at each of these shards."""
    restarts = _newest_elements(paths)
    outcomes: dict[str, Mapping[str, Any] | None] = {}
    logs: dict[str, FailureClass | None] = {}
    for shard in shards:
        place = facts.places[shard]
        element_id = place.element_id
        names = _attempt_names(paths, shard)
        mine = [name for name in names if name.rpartition(".")[0] == element_id]
        own = _read_object(f"{paths.attempts}/{shard:05d}/{mine[-1]}/outcome.json") if mine else None
        outcome = node = log = None
        if element_id is not None and not (own and own.get("failure_class")):
            folder = paths.elements / restarts.get(element_id, f"{element_id}.0")
            if element_id not in outcomes:
                outcomes[element_id] = _read_object(folder / "outcome.json")
            outcome = outcomes[element_id]
            if outcome is None and len(logs) < MOST_LOGS:
                node = _failed_node(folder)
                if element_id not in logs:
                    logs[element_id] = _reason_in_log(paths, element_id)
                log = logs[element_id]
        yield shard, AttemptFacts(mine[-1] if mine else None, len(names), own, outcome, node, log)


def _newest_elements(paths: RunPaths) -> dict[str, str]:
    """Element id -> name of the folder of its newest restart."""
    newest: dict[str, str] = {}
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(paths.elements) if not name.startswith("slurm-")]  # noqa: PTH208
        for name in sorted(names, key=attempt_order):
            newest[name.rpartition(".")[0]] = name
    return newest


def newest_element(paths: RunPaths, shard: int | None) -> str | None:
    """Name of the folder of the newest element that was to process a shard (None: any); None where there is none."""
    newest = _newest_elements(paths)
    if shard is None:
        return max(newest.values(), key=attempt_order, default=None)
    place = _places(read_submissions(paths)).get(shard)
    return newest.get(place.element_id or "") if place else None


def _failed_node(folder: Path) -> Mapping[str, Any] | None:
    """The status of a node of an element that failed before there was an outcome; the head's before others'."""
    statuses = [status for path in folder.glob("nodes/*/status.json") if (status := _read_object(path))]
    failed = [status for status in statuses if status.get("state") == "failed"]
    return min(failed, key=lambda status: (status.get("role") != "head", str(status.get("node"))), default=None)


def _reason_in_log(paths: RunPaths, element_id: str) -> FailureClass | None:
    return messages.reason_in_log(last_lines(paths.elements / f"slurm-{element_id}.log", LOG_LINES))


def _read_object(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in `path`; None where there is none, or none that can be read. Called for thousands of files."""
    try:
        with open(path, "rb") as stream:
            value = json.loads(stream.read())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def is_sharded(run: Run) -> bool:
    """Whether a run has the views of a job array."""
    return run.record is not None and run.record.array
