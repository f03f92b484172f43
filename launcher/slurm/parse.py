"""Parsers of the output of Slurm's commands: pure functions from text to values.

Only machine formats are read: `sbatch --parsable`, squeue with an explicit format, `scontrol show job -o` and
`sacct --parsable2`. Job names, the only fields that may contain any character, come last in a line. Output that is
not what was asked for is an UnreadableOutputError, never the answer that there is no such job.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from curator_slurm.launcher.ranges import parse_numbers, shortened, whole_number
from curator_slurm.launcher.slurm.job_info import JobInfo, split_component, whole_jobs
from curator_slurm.launcher.slurm.nodelists import expand_nodelist
from curator_slurm.launcher.slurm.scontrol_records import pairs
from curator_slurm.launcher.slurm.tables import UnreadableOutputError, rows
from curator_slurm.launcher.states import SlurmState

_COLUMNS = {
    "%i": "JOBID", "%F": "ARRAY_JOB_ID", "%K": "ARRAY_TASK_ID", "%T": "STATE", "%r": "REASON", "%N": "NODELIST",
    "%V": "SUBMIT_TIME", "%S": "START_TIME", "%e": "END_TIME", "%l": "TIME_LIMIT", "%j": "NAME", "%Z": "WORK_DIR",
    "%k": "COMMENT",
}  # fmt: skip
"""What squeue calls its columns."""

SQUEUE_FORMAT = "%i|%F|%K|%T|%r|%N|%V|%S|%e|%l|%j"
"""Job id, array job, array task, state, reason, nodes, submitted, start, end, limit, name."""

WORK_DIR_FORMAT = "%i|%Z"

ARRAY_FORMAT = "%F|%K|%T|%S|%e|%r"
"""Array job, array tasks, state, start, end, reason: the minimum for following thousands of elements."""

COMMENT_FORMAT = "%i|%Z|%k"
"""Job or element, working directory, comment."""

SACCT_FIELDS = "JobID,State,ExitCode,Submit,Start,End,NodeList,Timelimit"

_LONGEST_NODE = 253
"""Characters of a host name."""
_NOTHING = frozenset({"", "N/A", "(null)", "Unknown", "None", "None assigned", "NONE"})
_ID = re.compile(r"[0-9]{1,18}(\+[0-9]{1,18})?(_([0-9]{1,18}|\[[^\]]*\]))?")
"""`4711`, `4711_3`, `4711_[5-9%2]`, and parts of heterogeneous jobs, `4711+1`."""
_PLAIN_ID = re.compile(r"[0-9]{1,18}")
_STATE = re.compile(r"[A-Za-z][A-Za-z_]*[+*]?( by [0-9]+)?")


def parse_job_id(text: str) -> tuple[str, str | None]:
    """Job id and cluster (None: the default one) from the output of `sbatch --parsable`.

    Sites print banners around it; the id is the last line that looks like one.
    """
    for line in reversed(text.splitlines()):
        if match := re.fullmatch(r"([0-9]{1,18})(?:;(\S+))?", line.strip()):
            return match[1], match[2]
    raise ValueError(f"sbatch printed no job id: {shortened(text)}")


def _squeue_rows(text: str, line_format: str) -> Iterator[list[str]]:
    columns = line_format.split("|")
    return rows(text, [_COLUMNS[column] for column in columns], last_has_any=columns[-1] in ("%j", "%Z", "%k"))


def _checked_id(text: str, pattern: re.Pattern[str] = _PLAIN_ID) -> str:
    text = text.strip()
    if not pattern.fullmatch(text):
        raise UnreadableOutputError(f"{shortened(text)} is no job id")
    return text


def _checked_state(text: str) -> SlurmState:
    """A state that we do not know is UNKNOWN; a string that cannot be one is an error."""
    if not _STATE.fullmatch(text.strip()):
        raise UnreadableOutputError(f"{shortened(text)} is no state of a job")
    return SlurmState.parse(text)


def parse_squeue(text: str) -> list[JobInfo]:
    """The output of `squeue --format=SQUEUE_FORMAT`."""
    jobs = []
    for fields in _squeue_rows(text, SQUEUE_FORMAT):
        job_id, array_job, array_task, state, reason, nodes, submitted, start, end, limit, name = fields
        task = _text(array_task)
        parsed = _checked_state(state)
        jobs.append(
            JobInfo(
                job_id=_checked_id(job_id, _ID),
                state=parsed,
                array_job_id=_checked_id(array_job) if task else None,
                array_task=task,
                reason=_text(reason) or "",
                nodes=_nodes(nodes),
                submitted=parse_time(submitted),
                started=parse_time(start),
                ended=parse_time(end) if parsed.is_final else None,
                ends_by=None if parsed.is_final else parse_time(end),
                time_limit=limit.strip(),
                name=name,
            )
        )
    return whole_jobs(jobs)


def parse_work_dirs(text: str) -> dict[str, str]:
    """Job id -> working directory, from `squeue --format=WORK_DIR_FORMAT`."""
    rows_ = _squeue_rows(text, WORK_DIR_FORMAT)
    found = ((*split_component(_checked_id(job_id, _ID)), work_dir) for job_id, work_dir in rows_)
    return {job_id: work_dir for job_id, component, work_dir in found if not component}


@dataclass(frozen=True, slots=True)
class ArrayTasks:
    """One line of squeue about an array: a started element, or all that are pending; `tasks` None for other jobs."""

    job_id: str
    tasks: tuple[int, ...] | None
    state: SlurmState
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    ends_by: float | None = None


def parse_arrays(text: str) -> list[ArrayTasks]:
    """The output of `squeue --format=ARRAY_FORMAT`."""
    found = []
    states: dict[str, SlurmState] = {}
    times: dict[str, float | None] = {}
    for fields in _squeue_rows(text, ARRAY_FORMAT):
        job_id, tasks, state, started, ended, reason = map(str.strip, fields)
        if state not in states:
            states[state] = _checked_state(state)
        for time_ in (started, ended):
            if time_ not in times:
                times[time_] = parse_time(time_)
        parsed = states[state]
        end, by = (times[ended], None) if parsed.is_final else (None, times[ended])
        found.append(
            ArrayTasks(_checked_id(job_id), _task_numbers(tasks), parsed, times[started], end, _text(reason) or "", by)
        )
    return found


def _task_numbers(text: str) -> tuple[int, ...] | None:
    """The numbers in `1-9%1` or `3,7-20:2`; None for a job that is no array.

    None, too, for a list that squeue has cut short, or that cannot be read: then it stands for every element.
    """
    if (number := whole_number(text)) is not None:  # as of thousands
        return (number,)
    try:
        return tuple(parse_numbers(text))
    except ValueError:
        return None


def parse_comments(text: str) -> list[tuple[str, str, str]]:
    """Job id (of the array), working directory and comment, from `squeue --format=COMMENT_FORMAT`."""
    found: dict[tuple[str, str, str], None] = {}  # each element of an array has a line
    for job_id, work_dir, comment in _squeue_rows(text, COMMENT_FORMAT):
        whole, component = split_component(_checked_id(job_id, _ID))
        path, _, last = f"{work_dir}|{comment}".rpartition("|")
        if not component:
            found[whole.partition("_")[0], path, last] = None
    return list(found)


def parse_setting(text: str, name: str) -> str | None:
    """One value of `scontrol show config`; None if it is not listed."""
    match = re.search(rf"^{re.escape(name)}\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return match[1] if match else None


def parse_scontrol(text: str) -> list[JobInfo]:
    """The lines of `scontrol show job -o`."""
    jobs = []
    for line in text.splitlines():
        if not line.startswith("JobId="):
            continue
        fields = dict(pairs(line))
        raw_id = _checked_id(fields["JobId"].partition(" ")[0], _ID)
        status, _, signal = fields.get("ExitCode", "").partition(":")
        state = SlurmState.parse(fields.get("JobState", ""))
        array_job = _text(fields.get("ArrayJobId", ""))
        task = _text(fields.get("ArrayTaskId", ""))
        job_id, offset = raw_id, _text(fields.get("HetJobOffset", ""))
        if offset is not None and (leader := _text(fields.get("HetJobId", ""))) is not None:
            job_id = f"{leader}+{offset}"
        if array_job and task:
            job_id = f"{array_job}_[{task}]" if whole_number(task) is None else f"{array_job}_{task}"
        jobs.append(
            JobInfo(
                job_id=job_id,
                state=state,
                array_job_id=array_job,
                array_task=task,
                reason=_text(fields.get("Reason", "")) or "",
                nodes=_nodes(fields.get("NodeList", "")),
                submitted=parse_time(fields.get("SubmitTime", "")),
                started=parse_time(fields.get("StartTime", "")),
                ended=parse_time(fields.get("EndTime", "")) if state.is_final else None,
                ends_by=None if state.is_final else parse_time(fields.get("EndTime", "")),
                preempted=parse_time(fields.get("PreemptTime", "")),
                time_limit=fields.get("TimeLimit", ""),
                exit_code=whole_number(status),
                signal=whole_number(signal),
                restarts=whole_number(fields.get("Restarts", "")),
                work_dir=fields.get("WorkDir", ""),
                output=fields.get("StdOut", ""),
                name=fields.get("JobName", ""),
            )
        )
    return whole_jobs(jobs)


def parse_sacct(text: str) -> list[JobInfo]:
    """The output of `sacct --parsable2 --duplicates --format=SACCT_FIELDS`, without the steps.

    A requeued job has one line for each of its runs, oldest first: the last one is kept, with the number of
    runs before it as `restarts`.
    """
    jobs: dict[str, JobInfo] = {}
    for fields in rows(text, SACCT_FIELDS.split(","), last_has_any=False):
        if "." in fields[0]:
            continue
        job_id, state, exit_code, submitted, start, end, nodes, limit = fields
        job_id = _checked_id(job_id, _ID)
        status, _, signal = exit_code.partition(":")
        base, _, task = job_id.partition("_")
        earlier = jobs.pop(job_id, None)
        jobs[job_id] = JobInfo(
            job_id=job_id,
            state=_checked_state(state),
            array_job_id=base if task else None,
            array_task=task.strip("[]") or None,
            nodes=_nodes(nodes),
            submitted=parse_time(submitted),
            started=parse_time(start),
            ended=parse_time(end),
            time_limit=limit,
            exit_code=whole_number(status),
            signal=whole_number(signal),
            restarts=0 if earlier is None else (earlier.restarts or 0) + 1,
        )
    return whole_jobs(jobs.values())


def parse_time(text: str) -> float | None:
    """A time as Slurm prints it (the client's local time), in seconds since the epoch; None for N/A."""
    try:
        return time.mktime(time.strptime(text.strip(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def _text(field: str) -> str | None:
    field = field.strip()
    return None if field in _NOTHING else field


def _nodes(field: str) -> tuple[str, ...]:
    text = _text(field)
    if text is None:
        return ()
    try:
        return tuple(expand_nodelist(text))
    except ValueError:
        return (text[:_LONGEST_NODE],)
