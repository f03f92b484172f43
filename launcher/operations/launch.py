"""Calling sbatch for one array (or job) after the other: intent, sbatch, record.

What was accepted is known whatever happens in between.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, StorageError
from curator_slurm.launcher.operations.can_start import check_can_start
from curator_slurm.launcher.operations.kept_out import kept_out
from curator_slurm.launcher.operations.refused_options import name_settings
from curator_slurm.launcher.operations.staged_software import look_at_software, remove_old_archives
from curator_slurm.launcher.operations.unclear import unclear
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.restart_choice import restart_choice
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.known_folders import reference
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.manifest import revised_shards
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import (
    RESTART,
    Submission,
    SubmissionRecord,
    read_submissions,
    write_submission,
)
from curator_slurm.launcher.runs.user_code import Code, take_code
from curator_slurm.launcher.sharding.arrays import JobArray
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.slurm.client import SbatchCall
from curator_slurm.launcher.slurm.detached import new_local_job_id
from curator_slurm.launcher.spec.restart_section import Mechanism

_SUBMIT_LIMIT = re.compile(r"job submit limit|MaxSubmit|SubmitJobs?Limit", re.IGNORECASE)
_OTHER_LIMIT = re.compile(r"\b(?:QOS|Assoc)(?!\w*Submit)[A-Z]\w+")
"""`QOSMaxWallDurationPerJobLimit`, say: Slurm has the same sentence about every limit, after the name of the one."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be submitted: arrays of a run (or its one job), and what they have in common.

    `files` are a plan and a script of this submission's own, where they are not the run's; `after` are jobs that the
    first arrays wait for.
    """

    arrays: Sequence[JobArray]
    purpose: str
    plan: Plan
    files: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    code: Code | None = None
    """The user's code, where it is to be taken again."""


@dataclass
class Launched:
    """What came of it: the submissions that were accepted, and the error that ended it."""

    run: Run
    accepted: list[Submission] = field(default_factory=list)
    links: list[Submission] = field(default_factory=list)
    """The other jobs of their chains (`restart.mechanism: chain`)."""
    error: CuratorSlurmError | None = None
    missing: int = 0
    removed_variables: Sequence[str] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """What was not accepted, why, and what to do about it; empty where nothing is wrong."""
        if self.error is None:
            return ""
        if isinstance(self.error, SlurmError) and self.error.may_have_worked:
            return f"{self.error}\n{unclear(self.run)}"
        if not (self.run.record and self.run.record.array):
            return f"{self.error}\n{advice(self.error, reference(self.run, os.environ))}"
        what = f"{self.missing:,} shards are not submitted" if self.missing != 1 else "1 shard is not submitted"
        accepted = f"{len(self.accepted)} array{'' if len(self.accepted) == 1 else 's'} accepted"
        return f"{what} ({accepted}): {self.error}\n{advice(self.error, reference(self.run, os.environ))}"

    def last_job(self, first: Submission) -> str:
        """The job after which nothing of this submission runs any more: the last of its chain."""
        chain = [each for each in self.links if each.record.link_of == first.record.number]
        return str((chain or [first])[-1].record.job_id)

    @property
    def shards(self) -> list[int]:
        """What was accepted, in the order of their numbers."""
        return sorted(
            shard for submission in self.accepted for element in submission.elements for shard in element.shards
        )

    @property
    def job_ids(self) -> list[str]:
        return [each.record.job_id for each in (*self.accepted, *self.links) if each.record.job_id]


def launch(run: Run, order: Order, lock: RunLock) -> Launched:
    """Submit one array after the other, until all are accepted or one is not.

    Of an array that is above the limit of jobs in the queue, the first half is tried, and so on: what fits of it is
    submitted. An error of Slurm ends it and is part of the result; what was accepted before is recorded.
    """
    done = Launched(run, missing=sum(len(array.shards) for array in order.arrays))
    if order.plan.cluster is Cluster.SLURM:
        try:
            done.notes += _checked(run, order)
        except SlurmError as error:
            done.error = error
            return done
    exclude = _kept_out(done, order)
    number = max((submission.record.number for submission in read_submissions(run.paths)), default=-1) + 1
    remove_old_archives(order.plan)
    staged = look_at_software(order.plan)
    done.notes += staged.notes()
    for whole in order.arrays:
        array: JobArray | None = whole
        while array is not None:
            lock.check()
            now = registry.load_run(run.paths.root)
            if now.record is not None and now.record.cancelled is not None:
                done.error = CuratorSlurmError("the run was cancelled meanwhile; the rest was not submitted")
                return done
            submission = _prepare(run, number, array, order, done)
            _take_code(submission, order)
            staged.write(submission)
            number = submission.record.number + 1
            try:
                accepted = _submit(done, submission, order.plan.cluster, exclude)
            except SlurmError as error:
                if not error.may_have_worked:
                    submission.update(refused=str(error))
                array = array.half() if is_submit_limit(error) else None
                done.error = done.error or _with_settings(error, _script_of(submission, run), run)
            else:
                done.accepted.append(accepted)
                done.missing -= len(array.shards)
                number += _add_links(done, accepted, array, order, lock)
                break
        if done.error is not None:
            return done
    return done


def _with_settings(error: SlurmError, script: Path, run: Run) -> SlurmError:
    """The same error; that of a refused option says which it is, and what to set for the site."""
    if error.may_have_worked or error.returncode is None or is_submit_limit(error):
        return error
    settings = name_settings(script, run.paths.root, error)
    more = (error.command, error.returncode, error.stdout, error.stderr)
    return SlurmError(f"{error}\n{settings}", *more) if settings else error


def _add_links(done: Launched, first: Submission, array: JobArray, order: Order, lock: RunLock) -> int:
    """Submit the other jobs of a chain, each of which waits for the one before; how many were written down.

    One that is refused ends the chain there: then the run goes on less often by itself.
    """
    if restart_choice(order.plan).mechanism is not Mechanism.CHAIN:
        return 0
    before, written = first, 0
    for count in range(order.plan.spec.restart.limit):
        lock.check()
        after = (str(before.record.job_id),)
        again = replace(order, purpose=RESTART)
        link = _prepare(done.run, before.record.number + 1, array, again, done, after, first.record.number)
        written = link.record.number - first.record.number
        try:
            before = _submit(done, link, order.plan.cluster)
        except SlurmError as error:
            if not error.may_have_worked:
                link.update(refused=str(error))
            said = str(error).splitlines()[0]
            done.notes.append(f"{count} of {order.plan.spec.restart.limit} restarts are in the queue (chain): {said}")
            break
        done.links.append(before)
    return written


def _checked(run: Run, order: Order) -> list[str]:
    """Notes on whether the jobs can start, asked with the script that they will have."""
    with _script(run, order) as script:
        return check_can_start(order.plan, run.paths.root, script)


@contextlib.contextmanager
def _script(run: Run, order: Order) -> Iterator[Path]:
    """A file with the script that the jobs will have."""
    text = order.files.get(run.paths.script.name)
    if text is None:
        yield run.paths.script
        return
    with tempfile.TemporaryDirectory(prefix="curator-slurm-") as folder:
        script = Path(folder, run.paths.script.name)
        script.write_text(text)
        yield script


def _kept_out(done: Launched, order: Order) -> str:
    """Nodes that a retry does without, for --exclude; noted."""
    if order.purpose != "retry":
        return ""
    with _script(done.run, order) as script:
        found = kept_out(done.run, order.plan, script, os.environ)
    done.notes += filter(None, [found.note])
    return found.exclude


def _take_code(submission: Submission, order: Order) -> None:
    if order.code is None:
        return
    try:
        take_code(order.code, submission.paths.code, submission.paths.code_record)
    except OSError as error:
        submission.update(refused=str(error))
        raise StorageError(f"the code beside the spec cannot be copied: {storage_errors.what(error)}") from error


def is_submit_limit(error: CuratorSlurmError | None) -> bool:
    """Whether Slurm refused a job because its user may not have so many in the queue."""
    if not isinstance(error, SlurmError) or _OTHER_LIMIT.search(error.stderr):
        return False
    return _SUBMIT_LIMIT.search(error.stderr) is not None


def _prepare(
    run: Run,
    number: int,
    array: JobArray,
    order: Order,
    done: Launched,
    link_after: Sequence[str] = (),
    link_of: int | None = None,
) -> Submission:
    """Write down what is about to be submitted, under this number, or a later one that nobody has taken meanwhile."""
    local = order.plan.cluster is Cluster.LOCAL
    comment = order.plan.spec.resources.sbatch.get("comment") or ""
    after = link_after or (order.after if array.after is None else [done.last_job(done.accepted[array.after])])
    elements = [Element(0, tuple(array.shards))] if local else array.elements
    if revised := revised_shards(run.paths.manifest):
        elements = [replace(each, revised=tuple(s for s in each.shards if s in revised)) for each in elements]
    while run.paths.submission(number).root.exists():
        number += 1
    record = SubmissionRecord(
        number=number,
        purpose=order.purpose,
        prepared=time.time(),
        comment=registry.run_comment(run.run_id, str(comment), number),
        elements=len(elements),
        shards=len(array.shards),
        array="" if local or not order.plan.array else array.indices,
        max_running=array.max_running,
        after=tuple(after),
        changes=dict(order.changes),
        host=socket.gethostname(),
        job_id=new_local_job_id() if local else None,
        link_of=link_of,
    )
    return write_submission(run.paths, record, elements, order.files)


def _submit(done: Launched, submission: Submission, cluster: Cluster, exclude: str = "") -> Submission:
    """Hand one submission over, through submitit, and record its job."""
    from curator_slurm.launcher.slurm.submitit_adapter import CuratorLocalExecutor, CuratorSlurmExecutor

    record = submission.record
    call = SbatchCall(
        array=record.array,
        comment=record.comment,
        after=record.after,
        arguments=[f"{record.number:04d}", done.run.run_id],
        exclude=exclude,
    )
    script = _script_of(submission, done.run)
    found: dict[str, Any]
    if cluster is Cluster.SLURM:
        job = CuratorSlurmExecutor(done.run.paths.root).submit_script(script, call)
        done.removed_variables = job.removed_variables
        found = {"job_id": job.job_id, "slurm_cluster": job.slurm_cluster}
    else:
        process = CuratorLocalExecutor(done.run.paths.root).submit_script(script, call, str(record.job_id))
        found = {"job_id": process.job_id, "pid": process.pid, "pid_started": process.pid_started}
    accepted = submission.update(submitted=time.time(), **found)
    done.run = registry.add_job_ids(done.run, [found["job_id"]])
    return accepted


def _script_of(submission: Submission, run: Run) -> Path:
    own = submission.paths.script
    return own if own.exists() else run.paths.script


def explain_first(error: CuratorSlurmError, order: Order) -> CuratorSlurmError:
    """The error of a run of which nothing was accepted, with what can be done about its size."""
    if not (isinstance(error, SlurmError) and is_submit_limit(error) and order.plan.array):
        return error
    elements = sum(len(array.elements) for array in order.arrays)
    return SlurmError(
        f"{error}\nThe run has {elements:,} array elements, and not even one more job of yours may be in the queue. "
        "Submit again once some have ended: as many elements are submitted as the limit allows, and `curator-slurm "
        "retry` submits the rest. A larger shards.per_element makes fewer elements; with `limits.submitted_jobs` in "
        "a site file, as many are submitted as may be, and the rest when there is room.",
        error.command,
        error.returncode,
        error.stdout,
        error.stderr,
    )


def advice(error: CuratorSlurmError, run: str) -> str:
    """What to do about arrays that were not accepted."""
    retry = f"`curator-slurm retry {run}` submits the rest"
    if is_submit_limit(error):
        return (
            f"{retry} once some of your jobs have ended. Fewer elements at a time need a larger shards.per_element. "
            "With `limits.submitted_jobs` in a site file the rest is submitted by itself."
        )
    if isinstance(error, SlurmError) and messages.sbatch_advice(error.stderr):
        return f"{retry}; settings are changed there with --set."
    return f"{retry}."
