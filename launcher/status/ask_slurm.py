"""What Slurm says of the jobs of runs: as few commands as will do, however many runs, jobs and elements there are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from curator_slurm.launcher.errors import SlurmError
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.submissions import Submission, collect_jobs, is_overtaken, read_submissions
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.slurm.job_info import JobInfo
from curator_slurm.launcher.slurm.parse import ArrayTasks
from curator_slurm.launcher.slurm.shared_answers import SharedAnswers, cache_folder
from curator_slurm.launcher.status.attempt_files import newest_element, read_element_outcome
from curator_slurm.launcher.status.chains import chain_of
from curator_slurm.launcher.status.facts import ElementFacts
from curator_slurm.launcher.status.recover_job_ids import recover_job_ids

ASK_S = 30.0
"""How long Slurm has to answer one question about runs, however many commands that takes."""
_TURNS = 2
"""How often a run may submit a job itself while Slurm is asked for it."""
MOST_POLL_S = 3600.0
"""More is taken for this: a state of an hour ago helps nobody."""
RECENT_S = 3600.0
"""A job that failed longer ago than this is not asked for again: Slurm will not run it once more."""


@dataclass(frozen=True)
class SlurmAnswer:
    """Elements of arrays, jobs that are no arrays by their id, and the error where Slurm could not be asked.

    `doubt` is why accounting did not tell how jobs have ended that the controller no longer has. `continuing`: collect
    jobs that wait or run, of runs of which shards were never submitted: they submit these shards.
    """

    tasks: Sequence[ArrayTasks] = ()
    jobs: Mapping[str, JobInfo] = field(default_factory=dict)
    error: str = ""
    doubt: str = ""
    continuing: frozenset[str] = frozenset()
    is_shared: bool = False
    """Whether another command has had it: then it is for showing alone."""

    def elements(self) -> Iterator[tuple[str, ElementFacts]]:
        """Element id -> what was said; elements of one line share a value."""
        for entry in self.tasks:
            facts = ElementFacts(entry.state, entry.started, entry.ended, entry.reason, ends_by=entry.ends_by)
            for number in entry.tasks or ():
                yield f"{entry.job_id}_{number}", facts
        for job_id, job in self.jobs.items():
            yield (
                job_id,
                ElementFacts(
                    state=job.state,
                    started=job.started,
                    ended=job.ended,
                    reason=job.reason,
                    nodes=job.nodes,
                    exit_code=job.exit_code,
                    signal=job.signal,
                    restarts=job.restarts,
                    ends_by=job.ends_by,
                ),
            )


def ask(
    run: Run, submissions: Sequence[Submission] | None = None, *, shares: bool = False
) -> tuple[Sequence[Submission], SlurmAnswer]:
    """What Slurm says of a run's submissions, after those that were interrupted have been found again.

    The submissions are read again where the run has submitted a job itself while Slurm was asked: the job before that
    one may have ended meanwhile, and the run would look as if it had. `shares`: Slurm may have said so to another
    command, no longer ago than `limits.poll_s`; not for who acts on it.
    """
    known = read_submissions(run.paths) if submissions is None else submissions
    for _ in range(_TURNS):
        known, answer = _ask_once(run, known, shares=shares)
        if not is_overtaken(run.paths, known):
            break
        known = read_submissions(run.paths)
    else:
        known, answer = _ask_once(run, known, shares=shares)
    return known, answer


def _ask_once(run: Run, submissions: Sequence[Submission], *, shares: bool) -> tuple[Sequence[Submission], SlurmAnswer]:
    assert run.record is not None
    if run.record.is_local:
        return recover_job_ids(run.paths, submissions, lambda: ()), SlurmAnswer()
    slurm = Slurm().within(ASK_S)
    try:
        submissions = recover_job_ids(run.paths, submissions, slurm.commented)
        slurm = slurm.sharing(_answers([(run, submissions)]) if shares else None)
        if run.record.array:
            return submissions, _marked(_of_arrays(submissions, _collecting(run, submissions), slurm), slurm)
        wanted = _ids(chain_of(submissions, submission) if (submission := _latest(submissions)) else [])
        doubts: list[str] = []
        jobs = _jobs(slurm, wanted, doubts, details=True)
        return submissions, _marked(SlurmAnswer(jobs=jobs, doubt="\n".join(doubts)), slurm)
    except SlurmError as error:
        return submissions, SlurmAnswer(error=str(error))


def _of_arrays(submissions: Sequence[Submission], collecting: Sequence[str], slurm: Slurm) -> SlurmAnswer:
    """The elements; and which of these collect jobs are active."""
    found = _tasks(_ids(submissions, *collecting), slurm)
    jobs = set(collecting)
    continuing = frozenset(each.job_id for each in found if each.job_id in jobs and not each.state.is_final)
    return SlurmAnswer(
        complete([each for each in found if each.job_id not in jobs], submissions), continuing=continuing
    )


def _collecting(run: Run, submissions: Sequence[Submission]) -> list[str]:
    """The newest collect job of a run of which shards were never submitted."""
    assert run.record is not None
    jobs = collect_jobs(run.paths)[-1:]
    if not jobs:
        return []
    held = {
        shard for each in submissions if each.record.may_exist for element in each.elements for shard in element.shards
    }
    return jobs if len(held) < run.record.shards else []


def _answers(runs: Sequence[tuple[Run, Sequence[Submission]]]) -> SharedAnswers | None:
    """What other commands have had, from after the newest submission of our runs; None where nothing is shared.

    A job that was submitted later is missing there, from which one would conclude that it is gone.
    """
    ours = [(run.record, each) for run, each in runs if run.record is not None and is_own(run.paths.root)]
    least_s = max((record.poll_s for record, _ in ours), default=0.0)
    if not least_s or len(ours) < len(runs):
        return None
    times = [each.record.submitted or each.record.prepared for _, submissions in ours for each in submissions]
    times += [record.created for record, _ in ours]
    return SharedAnswers(cache_folder(os.environ), min(least_s, MOST_POLL_S), max(times))


def _marked(answer: SlurmAnswer, slurm: Slurm) -> SlurmAnswer:
    """The answer, and whether it is one that another command has had."""
    return replace(answer, is_shared=slurm.answers is not None and slurm.answers.used)


def ask_for_all(runs: Sequence[tuple[Run, Sequence[Submission]]], *, shares: bool = False) -> SlurmAnswer:
    """One answer for many runs; jobs are not asked for that can tell nothing new of theirs."""
    arrays: list[Submission] = []
    collecting: list[str] = []
    single: list[Submission] = []
    settled: set[str] = set()
    for run, submissions in runs:
        record = run.record
        if record is None or record.is_local:
            continue
        if record.array:
            arrays += submissions
            collecting += _collecting(run, submissions)
            continue
        latest = _latest(submissions)
        if latest is None:
            continue
        ended = _ended(run, latest)
        if ended is None or time.time() - ended < RECENT_S:
            single += chain_of(submissions, latest)
            settled |= {str(latest.record.job_id)} if ended is not None else set()
    slurm, doubts = Slurm().within(ASK_S).sharing(_answers(runs) if shares else None), list[str]()
    try:
        of_arrays = _of_arrays(arrays, collecting, slurm)
        jobs = _jobs(slurm, _ids(single), doubts, details=False, settled=settled)
        return _marked(replace(of_arrays, jobs=jobs, doubt="\n".join(doubts)), slurm)
    except SlurmError as error:
        return SlurmAnswer(error=str(error))


def _latest(submissions: Sequence[Submission]) -> Submission | None:
    """The newest submission that has a job."""
    return next((each for each in reversed(submissions) if each.record.job_id is not None), None)


def _ended(run: Run, submission: Submission) -> float | None:
    """When the newest element of a submission ended, by its outcome."""
    element = newest_element(run.paths, str(submission.record.job_id))
    outcome = read_element_outcome(run.paths, element) if element else None
    return outcome.ended if outcome and not outcome.provisional else None


def _ids(submissions: Iterable[Submission], *others: str) -> dict[str | None, list[str]]:
    """Cluster -> job ids; `others` are of the default one."""
    clusters: dict[str | None, list[str]] = {None: list(others)} if others else {}
    for submission in submissions:
        if submission.record.job_id is not None:
            clusters.setdefault(submission.record.slurm_cluster, []).append(submission.record.job_id)
    return clusters


def _jobs(
    slurm: Slurm,
    clusters: Mapping[str | None, Sequence[str]],
    doubts: list[str],
    *,
    details: bool,
    settled: Iterable[str] = (),
) -> dict[str, JobInfo]:
    """The jobs that Slurm knows; accounting is not asked for those that are `settled`, they left an outcome."""
    found: dict[str, JobInfo] = {}
    for cluster, ids in clusters.items():
        forgotten = set(ids).difference(settled)
        there = slurm.on(cluster)
        answer = there.job_states(ids, details=details, forgotten=forgotten, doubts=doubts)
        found |= {job_id: infos[0] for job_id, infos in answer.items() if infos}
    return found


def tasks_of(submissions: Sequence[Submission], slurm: Slurm | None = None) -> list[ArrayTasks]:
    """What squeue says of all arrays of these submissions.

    Raises:
        SlurmError: it cannot be asked.
    """
    return complete(_tasks(_ids(submissions), slurm or Slurm()), submissions)


def _tasks(clusters: Mapping[str | None, Sequence[str]], slurm: Slurm) -> list[ArrayTasks]:
    return [tasks for cluster, ids in clusters.items() for tasks in slurm.on(cluster).arrays(ids)]


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
