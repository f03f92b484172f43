"""Gathers what the files of a run and Slurm say at this moment, for `decide`.

Slurm and the process table are asked before the files are read, so that an element that ends in between is seen as
done and not as lost. However many shards there are, squeue is asked at most three times, and only the files of shards
that are neither done nor active are opened, and those of the shard that is asked for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError
from curator_slurm.launcher.files import folders_in
from curator_slurm.launcher.local_process import is_process_alive
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.attempt_names import base_of
from curator_slurm.launcher.runs.done_records import done_shards, published_record, read_done
from curator_slurm.launcher.runs.giving_way import GivingWay
from curator_slurm.launcher.runs.lock import FEED_LOCK, SUBMISSIONS_LOCK, is_locked
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.secrets import REMOVING, remove_secrets_if
from curator_slurm.launcher.runs.submissions import RESTART, Submission, collect_jobs, is_overtaken, read_submissions
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.activity import ended_early, with_activity
from curator_slurm.launcher.status.ask_slurm import RECENT_S, SlurmAnswer, ask, ask_for_all
from curator_slurm.launcher.status.attempt_files import (
    AttemptReader,
    attempt_names,
    newest_elements,
    read_element_outcome,
)
from curator_slurm.launcher.status.chains import without_other_links
from curator_slurm.launcher.status.facts import (
    FRESH_HEARTBEAT_S,
    AttemptFacts,
    ElementFacts,
    PublisherFacts,
    RunFacts,
    ShardPlace,
)
from curator_slurm.launcher.status.reports import NodeReader, read_nodes
from curator_slurm.launcher.status.run_decision import RunStatus, decide

_FIRST_S = 600.0
"""A run without any submission is being submitted for the first time, unless it is older than this."""


class Level(Enum):
    """How much is read of a run of many shards; of a run of one, everything always is."""

    STATE = "the state of the run"
    FAILURES = "why shards failed"


TROUBLE = (CuratorSlurmError, OSError, ValueError)
"""What reading the files of one run may end with."""


@dataclass(frozen=True)
class Gathered:
    """The facts about a run, and its submissions as they are now."""

    facts: RunFacts
    submissions: Sequence[Submission]
    is_fresh: bool = True
    """Whether something may be done because of them: Slurm was asked for this, and not for another command before."""

    def decide(self) -> RunStatus:
        return decide(self.facts)


def status_of(run: Run, level: Level = Level.FAILURES, *, shares: bool = False) -> RunStatus:
    """The status of one run, now; unknown where its files cannot be read. `shares` is as in `ask`."""
    return observe(run, level=level, shares=shares)[1]


def observe(
    run: Run,
    shard: int | None = None,
    *,
    level: Level = Level.FAILURES,
    being_submitted: bool | None = None,
    shares: bool = False,
) -> tuple[Gathered | None, RunStatus]:
    """The facts about a run and what they prove, now; no facts where its files cannot be read.

    `being_submitted` is given by whoever holds the lock of submissions.
    """
    if run.record is None:
        return None, _unreadable(run)
    try:
        submissions, answer = ask(run, shares=shares)
        gathered = collect_facts(run, submissions, answer, level, shard=shard, being_submitted=being_submitted)
        return gathered, conclude(run, gathered)
    except TROUBLE as error:
        return None, troubled(error)


def conclude(run: Run, gathered: Gathered) -> RunStatus:
    """What the facts prove; of a run that is over, the secrets go, if it is ours, and what it moved aside returns."""
    status = gathered.decide()
    if gathered.is_fresh and _nothing_can_follow(gathered, status):
        known = [submission.record.number for submission in gathered.submissions]

        def unchanged() -> bool:
            return [submission.record.number for submission in read_submissions(run.paths)] == known

        remove_secrets_if(run.paths, unchanged)
        _put_back(run.paths)
    return status


def _put_back(run: RunPaths) -> None:
    """The dataset that the run was replacing when it died returns to its place."""
    if run.target is not None and not run.target.is_relative_to(run.root) and is_own(run.root):
        GivingWay(run.target, run.run_id).put_back(lambda: published_record(run, 0) is not None)


def _nothing_can_follow(gathered: Gathered, status: RunStatus) -> bool:
    """Whether nothing of the run is active any more, and certainly so: not while its job ends, nor before its first."""
    facts = gathered.facts
    if not status.state.is_final or (facts.query_error and status.state is not RunState.COMPLETED):
        return False
    if not gathered.submissions and facts.now - (facts.created or facts.now) < _FIRST_S:
        return False
    ours = {submission.record.job_id for submission in gathered.submissions}
    active = (name for name, element in facts.elements.items() if not element.state.is_final)
    return not any(name.partition("_")[0] in ours for name in active)


def statuses_of(runs: Sequence[Run], answer: SlurmAnswer | None = None, *, shares: bool = False) -> list[RunStatus]:
    """The status of many runs, with as many commands of Slurm as for one of each kind; none where `answer` is given."""
    known: list[Sequence[Submission] | RunStatus] = []
    each: Sequence[Submission] | RunStatus
    for run in runs:
        try:
            each = _unreadable(run) if run.record is None else read_submissions(run.paths)
        except TROUBLE as error:
            each = troubled(error)
        known.append(each)
    pairs = list(zip(runs, known, strict=True))
    asked = [(run, each) for run, each in pairs if not isinstance(each, RunStatus) and not _is_over(run)]
    answer = ask_for_all(asked, shares=shares) if answer is None else answer
    return [each if isinstance(each, RunStatus) else _decided(run, each, answer) for run, each in pairs]


def _decided(run: Run, submissions: Sequence[Submission], answer: SlurmAnswer) -> RunStatus:
    try:
        status = conclude(run, collect_facts(run, submissions, answer, Level.STATE))
        overtaken = status.state.is_final and is_overtaken(run.paths, submissions)
    except TROUBLE as error:
        return troubled(error)
    return status_of(run, Level.STATE) if overtaken else status


def troubled(error: Exception) -> RunStatus:
    """The status of a run whose files cannot be read: its trouble alone, whatever else is looked at."""
    return RunStatus(state=RunState.UNKNOWN, message=str(error), unreadable=not isinstance(error, SlurmError))


def _unreadable(run: Run) -> RunStatus:
    return RunStatus(state=RunState.UNKNOWN, message=f"This run cannot be read: {run.problem}.", unreadable=True)


def _is_over(run: Run) -> bool:
    """Whether Slurm need not be asked: every shard is done, and has been for long, or the one element said so."""
    assert run.record is not None
    try:
        done = done_shards(run.paths)
    except TROUBLE:
        return True
    if len(done) < run.record.shards:
        return False
    if time.time() - max(done.values(), default=0.0) > RECENT_S:
        return True
    publisher = _done_by(run.paths, 0) if run.record.shards == 1 else None
    return publisher is not None and read_element_outcome(run.paths, publisher) is not None


def collect_facts(
    run: Run,
    submissions: Sequence[Submission],
    answer: SlurmAnswer,
    level: Level = Level.FAILURES,
    *,
    shard: int | None = None,
    being_submitted: bool | None = None,
    nodes: NodeReader | None = None,
) -> Gathered:
    """The facts from an answer of Slurm and the files as they are now; `nodes` where they are looked at repeatedly."""
    record, paths = run.record, run.paths
    assert record is not None
    elements = dict(_local_elements(paths, submissions) if record.is_local else answer.elements())
    begun = newest_elements(paths) if any(each.record.link_of is not None for each in submissions) else ()
    places = places_of(submissions, elements, begun) if submissions else _places_by_hand(paths)
    detailed = {shard} if shard is not None else set()
    if record.shards == 1:
        detailed = {0}
    facts = RunFacts(
        run_id=run.run_id,
        run_dir=str(paths.root),
        now=time.time(),
        total=record.shards,
        done=done_shards(paths),
        places=places,
        elements=elements,
        detailed=frozenset(detailed),
        cancelled_elements=frozenset(_cancelled(submissions)),
        cancelled=record.cancelled,
        query_error=answer.error,
        query_doubt=answer.doubt,
        being_submitted=is_locked(paths.lock(SUBMISSIONS_LOCK), REMOVING)
        if being_submitted is None
        else being_submitted,
        continues=_is_continued(paths, answer) or is_locked(paths.lock(FEED_LOCK)),
        submitted=max((s.record.submitted for s in submissions if s.record.submitted is not None), default=None),
        created=record.created,
        is_local=record.is_local,
        host=next((s.record.host for s in reversed(submissions) if s.record.host), record.host),
    )
    active = [number for number in facts.open_shards if facts.is_active(number)]
    facts = with_activity(paths, facts, active, _restart_jobs(submissions))
    over = [] if level is Level.STATE else [n for n in facts.open_shards if n in places and not facts.is_active(n)]
    if level is not Level.STATE and record.shards > 1:
        over += ended_early(paths, facts)
    if over or detailed:
        facts = replace(facts, attempts=dict(_attempts(paths, facts, over, nodes)))
        if set(over) | detailed - facts.done.keys():  # one may have been done since the folder of done files was read
            facts = replace(facts, done=done_shards(paths))
    facts = facts if facts.open_shards else _with_ends(paths, facts)
    return Gathered(facts, submissions, is_fresh=not answer.is_shared)


def _restart_jobs(submissions: Iterable[Submission]) -> set[str]:
    """Jobs that the run has submitted itself, after an interruption."""
    return {str(each.record.job_id) for each in submissions if each.record.purpose == RESTART}


def _is_continued(paths: RunPaths, answer: SlurmAnswer) -> bool:
    """Whether a collect job of the run is there, which submits what had no room."""
    return bool(answer.continuing) and not answer.continuing.isdisjoint(collect_jobs(paths)[-1:])


def _with_ends(paths: RunPaths, facts: RunFacts) -> RunFacts:
    """What tells whether the elements of a run whose shards are all done have ended, too."""
    wanted = {name for name, element in facts.elements.items() if not element.state.is_final}
    by = _done_by(paths, 0) if facts.total == 1 else None
    publisher = None
    if by is not None:
        heartbeat = facts.attempts[0].heartbeat if 0 in facts.attempts else None
        publisher = PublisherFacts(base_of(by), heartbeat)
        wanted.add(publisher.element_id)
    if not wanted:
        return facts
    newest = newest_elements(paths)
    folders = {name: {newest.get(name), by if base_of(by or "") == name else None} - {None} for name in wanted}
    ended = {name for name, found in folders.items() if any(read_element_outcome(paths, str(each)) for each in found)}
    return replace(facts, outcomes=frozenset(ended), publisher=publisher)


def _is_being_submitted(paths: RunPaths) -> bool:
    return is_locked(paths.lock(SUBMISSIONS_LOCK), REMOVING)


def places_of(
    submissions: Sequence[Submission], elements: Mapping[str, ElementFacts], begun: Collection[str]
) -> dict[int, ShardPlace]:
    """The newest submission of each shard that may have reached Slurm; of a chain, the job that is at it."""
    places = {}
    for submission, others in without_other_links(submissions, elements, begun):
        record = submission.record
        if not record.may_exist:
            continue
        for element in submission.elements:
            if element.element in others:
                continue
            element_id = _element_id(submission, element.element)
            again = record.purpose == RESTART and bool(element_id or record.is_being_submitted)
            place = ShardPlace(record.number, element_id, restarts=again)
            places.update(dict.fromkeys(element.shards, place))
    return places


def _places_by_hand(paths: RunPaths) -> dict[int, ShardPlace]:
    """Of a run that was prepared and never submitted by a verb: the jobs that somebody gave its script to."""
    found = {}
    for folder in folders_in(paths.attempts):
        shard = whole_number(folder.name)
        if shard is not None and (names := attempt_names(paths, shard)):
            found[shard] = ShardPlace(None, base_of(names[-1]))
    return found


def _element_id(submission: Submission, element: int) -> str:
    job_id = submission.record.job_id
    return "" if job_id is None else submission.record.element_id(element, job_id)


def _cancelled(submissions: Iterable[Submission]) -> Iterator[str]:
    for submission in submissions:
        for number in submission.record.cancelled_elements() if submission.record.job_id else ():
            yield _element_id(submission, number)


def _local_elements(paths: RunPaths, submissions: Iterable[Submission]) -> Iterator[tuple[str, ElementFacts]]:
    """The processes of a local run that live, or of which another machine alone can tell."""
    for submission in submissions:
        record = submission.record
        if record.job_id is None:
            continue
        if record.pid is not None and record.host == os.uname().nodename:
            if is_process_alive(record.pid, record.pid_started):
                yield record.job_id, ElementFacts(SlurmState.RUNNING, record.submitted)
            continue
        recent = _has_fresh_heartbeat(paths, submission)
        if recent or record.pid is not None:
            state = SlurmState.RUNNING if recent else SlurmState.UNKNOWN
            yield record.job_id, ElementFacts(state, record.submitted, elsewhere=record.pid is not None)


def _has_fresh_heartbeat(paths: RunPaths, submission: Submission) -> bool:
    record = submission.record
    assert record.job_id is not None
    with contextlib.suppress(OSError):
        beat = (paths.element(record.job_id, 0) / "heartbeat").stat().st_mtime
        return abs(time.time() - beat) < FRESH_HEARTBEAT_S
    return record.pid is not None and abs(time.time() - record.prepared) < FRESH_HEARTBEAT_S


def _attempts(
    paths: RunPaths, facts: RunFacts, over: Sequence[int], nodes: NodeReader | None
) -> Iterator[tuple[int, AttemptFacts]]:
    """What is left of the newest attempt at shards that are over, and at those that are asked for in detail."""
    reader = AttemptReader(paths, nodes or read_nodes)
    for shard in sorted({*over, *facts.detailed}):
        place = facts.places.get(shard)
        done_by = _done_by(paths, shard) if shard in facts.done else None
        if place is not None or done_by is not None:
            detail = shard in facts.detailed
            yield shard, reader.read(shard, place or ShardPlace(0, ""), detail=detail, done_by=done_by)


def _done_by(paths: RunPaths, shard: int) -> str | None:
    """The attempt that has published a shard."""
    with contextlib.suppress(ValueError, OSError):
        record = read_done(paths, shard)
        return record.attempt if record else None
    return None
