"""Parsers of the output of Slurm's commands: pure functions from text to values.

Only machine formats are read: `sbatch --parsable`, squeue with an explicit format, `scontrol show job -o` and
`sacct --parsable2`. Job names, the only fields that may contain any character, come last in a line.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.states import SlurmState

SQUEUE_FORMAT = "%i|%F|%K|%T|%r|%N|%V|%S|%e|%l|%j"
"""Job id, array job, array task, state, reason, nodes, submitted, start, end, limit, name."""

WORK_DIR_FORMAT = "%i|%Z"

ARRAY_FORMAT = "%F|%K|%T|%S|%e|%r"
"""Array job, array tasks, state, start, end, reason: the minimum for following thousands of elements."""

COMMENT_FORMAT = "%F|%Z|%k"
"""Array job (or job), working directory, comment."""

SACCT_FIELDS = "JobID,State,ExitCode,Submit,Start,End,NodeList,Timelimit"

_REASONS_OF_END = {
    "TimeLimit": FailureClass.TIME_LIMIT,
    "OutOfMemory": FailureClass.OUT_OF_MEMORY,
    "NodeDown": FailureClass.NODE_FAILED,
    "BadConstraints": FailureClass.SLURM_REFUSED,
}
_NOTHING = frozenset({"", "N/A", "(null)", "Unknown", "None", "None assigned", "NONE"})
_PAIR = re.compile(r"(?:^| )([A-Za-z][\w:/.-]*)=")
_TASKS = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_RANGES = re.compile(r"[0-9,-]+")


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """What Slurm reports about one job, array element, or the pending part of an array (`5_[1-9%1]`).

    Times are seconds since the epoch. Fields that the command does not print are None or empty.
    """

    job_id: str
    state: SlurmState
    array_job_id: str | None = None
    array_task: str | None = None
    reason: str = ""
    nodes: tuple[str, ...] = ()
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    time_limit: str = ""
    exit_code: int | None = None
    signal: int | None = None
    restarts: int | None = None
    work_dir: str = ""
    output: str = ""
    name: str = ""

    @property
    def end_reason(self) -> FailureClass | None:
        """Why Slurm is ending or has ended this job, if it says so; while it ends one, the state is COMPLETING."""
        return end_reason(self.state, self.reason)

    @property
    def base_id(self) -> str:
        """The id of the whole array, or the job's own."""
        return self.array_job_id or self.job_id


def end_reason(state: SlurmState, reason: str) -> FailureClass | None:
    """Why Slurm ends or has ended a job in this state, with this reason; None where neither says so."""
    return state.failure_class or _REASONS_OF_END.get(reason)


def parse_job_id(text: str) -> tuple[str, str | None]:
    """Job id and cluster (None: the default one) from the output of `sbatch --parsable`.

    Sites print banners around it; the id is the last line that looks like one.
    """
    for line in reversed(text.splitlines()):
        if match := re.fullmatch(r"([0-9]+)(?:;(\S+))?", line.strip()):
            return match[1], match[2]
    raise ValueError(f"sbatch printed no job id: {text!r}")


def parse_squeue(text: str) -> list[JobInfo]:
    """The lines of `squeue --noheader --format=SQUEUE_FORMAT`."""
    jobs = []
    for line in text.splitlines():
        fields = line.split("|", 10)
        if len(fields) != 11:
            continue
        job_id, array_job, array_task, state, reason, nodes, submitted, start, end, limit, name = fields
        task = _text(array_task)
        parsed = SlurmState.parse(state)
        jobs.append(
            JobInfo(
                job_id=job_id.strip(),
                state=parsed,
                array_job_id=array_job.strip() if task else None,
                array_task=task,
                reason=_text(reason) or "",
                nodes=_nodes(nodes),
                submitted=parse_time(submitted),
                started=parse_time(start),
                ended=parse_time(end) if parsed.is_final else None,
                time_limit=limit.strip(),
                name=name,
            )
        )
    return jobs


def parse_work_dirs(text: str) -> dict[str, str]:
    """Job id -> working directory, from `squeue --noheader --format=WORK_DIR_FORMAT`."""
    pairs = (line.partition("|") for line in text.splitlines())
    return {job_id.strip(): work_dir for job_id, bar, work_dir in pairs if bar}


@dataclass(frozen=True, slots=True)
class ArrayTasks:
    """One line of squeue about an array: a started element, or all that are pending; `tasks` None for other jobs."""

    job_id: str
    tasks: tuple[int, ...] | None
    state: SlurmState
    started: float | None = None
    ended: float | None = None
    reason: str = ""


def parse_arrays(text: str) -> list[ArrayTasks]:
    """The lines of `squeue --noheader --format=ARRAY_FORMAT`."""
    found = []
    states: dict[str, SlurmState] = {}
    times: dict[str, float | None] = {}
    for line in text.splitlines():
        fields = line.split("|", 5)
        if len(fields) != 6:
            continue
        job_id, tasks, state, started, ended, reason = map(str.strip, fields)
        if state not in states:
            states[state] = SlurmState.parse(state)
        for time_ in (started, ended):
            if time_ not in times:
                times[time_] = parse_time(time_)
        number = whole_number(tasks)
        numbers = _task_numbers(tasks) if number is None else (number,)
        parsed = states[state]
        end = times[ended] if parsed.is_final else None
        found.append(ArrayTasks(job_id, numbers, parsed, times[started], end, _text(reason) or ""))
    return found


def _task_numbers(text: str) -> tuple[int, ...] | None:
    """The numbers in `1-9%1` or `3,7-20:2`; None where there are none."""
    numbers: list[int] = []
    for part in text.partition("%")[0].strip("[]").split(","):
        match = _TASKS.fullmatch(part)
        if not match:
            return None
        first = int(match[1])
        numbers.extend(range(first, int(match[2] or first) + 1, int(match[3] or 1)))
    return tuple(numbers)


def parse_comments(text: str) -> list[tuple[str, str, str]]:
    """Job id (of the array), working directory and comment, from `squeue --noheader --format=COMMENT_FORMAT`."""
    lines = dict.fromkeys(text.splitlines())  # each element of an array has a line
    parts = [(line.partition("|")[0].strip(), *line.partition("|")[2].rpartition("|")[::2]) for line in lines]
    return [part for part in parts if part[0]]


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
        fields = dict(_pairs(line))
        status, _, signal = fields.get("ExitCode", "").partition(":")
        state = SlurmState.parse(fields.get("JobState", ""))
        array_job = _text(fields.get("ArrayJobId", ""))
        task = _text(fields.get("ArrayTaskId", ""))
        job_id = fields["JobId"].split()[0]
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
                time_limit=fields.get("TimeLimit", ""),
                exit_code=whole_number(status),
                signal=whole_number(signal),
                restarts=whole_number(fields.get("Restarts", "")),
                work_dir=fields.get("WorkDir", ""),
                output=fields.get("StdOut", ""),
                name=fields.get("JobName", ""),
            )
        )
    return jobs


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """`Key=value` pairs; a value reaches to the next ` Key=`, so it may hold spaces."""
    found = list(_PAIR.finditer(line))
    for match, following in zip(found, [*found[1:], None], strict=True):
        yield match[1], line[match.end() : following.start() if following else None]


def parse_sacct(text: str) -> list[JobInfo]:
    """The lines of `sacct --parsable2 --noheader --duplicates --format=SACCT_FIELDS`, without the steps.

    A requeued job has one line for each of its runs, oldest first: the last one is kept, with the number of
    runs before it as `restarts`.
    """
    jobs: dict[str, JobInfo] = {}
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) < 8 or "." in fields[0] or not fields[0]:
            continue
        job_id, state, exit_code, submitted, start, end, nodes, limit = fields[:8]
        status, _, signal = exit_code.partition(":")
        base, _, task = job_id.partition("_")
        earlier = jobs.pop(job_id, None)
        jobs[job_id] = JobInfo(
            job_id=job_id,
            state=SlurmState.parse(state),
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
    return list(jobs.values())


def merge(known: JobInfo, more: JobInfo) -> JobInfo:
    """`known`, completed from `more` (exit code, restarts, reason, times)."""
    return replace(
        known,
        reason=known.reason or more.reason,
        nodes=known.nodes or more.nodes,
        submitted=known.submitted or more.submitted,
        started=known.started or more.started,
        ended=known.ended or more.ended,
        time_limit=known.time_limit or more.time_limit,
        exit_code=more.exit_code if known.exit_code is None else known.exit_code,
        signal=more.signal if known.signal is None else known.signal,
        restarts=more.restarts if known.restarts is None else known.restarts,
        work_dir=known.work_dir or more.work_dir,
        output=known.output or more.output,
        name=known.name or more.name,
    )


def expand_nodelist(text: str) -> list[str]:
    """The host names of a Slurm node list: `n[01-03,7],gpu1` -> n01 n02 n03 n7 gpu1."""
    names: list[str] = []
    for group in _split_outside_brackets(text.strip()):
        names.extend(_expand_group(group))
    return names


def _split_outside_brackets(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    if depth:
        raise ValueError(f"not a node list: {text!r}")
    if text[start:]:
        yield text[start:]


def _expand_group(group: str) -> list[str]:
    names = [""]
    for part in re.split(r"(\[[^\]]*\])", group):
        if part.startswith("["):
            suffixes = _expand_ranges(part[1:-1])
            names = [name + suffix for name in names for suffix in suffixes]
        else:
            names = [name + part for name in names]
    return names


def _expand_ranges(text: str) -> list[str]:
    if not _RANGES.fullmatch(text):
        raise ValueError(f"not a range of nodes: {text!r}")
    numbers = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not dash:
            numbers.append(first)
            continue
        numbers.extend(f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    return numbers


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
        return (text,)
