"""The submissions of a run: one folder for each sbatch call, written before it, completed after it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import sync_folder, write_atomic
from curator_slurm.common.json_fields import checked
from curator_slurm.common.plain_files import plain_lines, read_plain
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import LIST_BYTES, RECORD_BYTES, read_json, write_json
from curator_slurm.launcher.ranges import parse_numbers, whole_number
from curator_slurm.launcher.runs.paths import RunPaths, SubmissionPaths
from curator_slurm.launcher.runs.shard_records import Element

_JOB_ID = re.compile(r"[0-9]{1,18}")
_KNOWN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Of Slurm or of this machine; it is part of paths."""
RESTARTING_S = 900.0
"""A batch script that goes on after the end of its job does not try for longer."""


RESTART = "restart"
"""The purpose of a submission that the run itself makes, after an interruption."""


@dataclass(frozen=True, kw_only=True)
class CancelRequest:
    """Elements that were to be cancelled, and when."""

    time: float
    elements: str


@dataclass(frozen=True, kw_only=True)
class SubmissionRecord:
    """submission.json: what was to be submitted, and what came of it.

    Without a job id it was interrupted, unless it was `refused` (Slurm's words) or is known to be `lost`: then no
    job of it can exist any more.
    """

    number: int
    purpose: str
    """submit, retry, or RESTART."""
    prepared: float
    comment: str
    elements: int
    shards: int
    array: str = ""
    max_running: int | None = None
    after: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    job_id: str | None = None
    submitted: float | None = None
    slurm_cluster: str | None = None
    pid: int | None = None
    pid_started: float | None = None
    recovered: bool = False
    refused: str = ""
    lost: float | None = None
    cancelled: tuple[CancelRequest, ...] = ()
    restart_of: str = ""
    """The element that went on with it when it ended: its batch script has named the folder and called sbatch."""
    link_of: int | None = None
    """Of a link of a chain: the number of the submission that the chain began with."""
    schema: int = 1

    @property
    def is_interrupted(self) -> bool:
        """Whether a job of it may exist although none is recorded."""
        return self.job_id is None and not self.refused and self.lost is None and not self.is_being_submitted

    @property
    def is_being_submitted(self) -> bool:
        """Whether the batch script of a job that has just ended is at it, as far as its time tells."""
        recent = abs(time.time() - self.prepared) < RESTARTING_S
        return bool(self.restart_of) and self.job_id is None and not self.refused and self.lost is None and recent

    @property
    def may_exist(self) -> bool:
        """Whether a job of it exists or has existed, as far as is known."""
        return not self.refused and self.lost is None

    def element_id(self, element: int, job_id: str) -> str:
        """The id of an element of its job: `4711_3` in an array, else that of the job."""
        return f"{job_id}_{element}" if self.array else job_id

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> SubmissionRecord:
        """Keys of later versions are ignored; a wrong shape is a ValueError."""
        try:
            known = checked(cls, value, "cancelled")
            if not _KNOWN_ID.fullmatch("0" if known.get("job_id") is None else known["job_id"]):
                raise ValueError(f"`job_id` must be the id of a job; found {ascii(known['job_id'])[:60]}")
            requests = tuple(CancelRequest(**checked(CancelRequest, item)) for item in known.get("cancelled", ()))
            return cls(**{**known, "cancelled": requests})
        except (TypeError, KeyError) as error:
            raise ValueError(f"it lacks something: {error}") from error

    def cancelled_elements(self) -> set[int]:
        """Elements whose end was asked for."""
        numbers: set[int] = set()
        for request in self.cancelled:
            with contextlib.suppress(ValueError):
                numbers.update(parse_numbers(request.elements))
        return numbers


@dataclass(frozen=True)
class Submission:
    """A folder of `submissions/`."""

    paths: SubmissionPaths
    record: SubmissionRecord
    elements: tuple[Element, ...]

    def update(self, **changes: Any) -> Submission:
        """The same with other values in its record, which is rewritten."""
        return self.write(replace(self.record, **changes))

    def write(self, record: SubmissionRecord) -> Submission:
        """The same with another record."""
        try:
            write_json(self.paths.record, record.to_json(), mode=0o600)
        except OSError as error:
            raise StorageError(f"cannot write {self.paths.record}: {error.strerror or error}") from error
        return replace(self, record=record)


def submission_of(submissions: Iterable[Submission], number: int | None) -> Submission | None:
    """The one with this number; None where there is none, or nobody knows the number."""
    return next((each for each in submissions if each.record.number == number), None)


def read_submissions(run: RunPaths) -> list[Submission]:
    """All submissions of a run, oldest first.

    Raises:
        StorageError: one of them cannot be read: without it one cannot tell what is running.
    """
    return [_read(SubmissionPaths(folder, run)) for folder in _folders(run)]


def is_overtaken(run: RunPaths, submissions: Sequence[Submission]) -> bool:
    """Whether there are newer submissions than these: a run submits some itself, and no lock keeps it from that.

    Raises:
        StorageError: as `read_submissions`.
    """
    return len(_folders(run)) > len(submissions)


def _folders(run: RunPaths) -> list[Path]:
    try:
        return sorted(path for path in run.submissions.iterdir() if whole_number(path.name) is not None)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"the submissions of the run cannot be read: {storage_errors.what(error)}") from error


def read_elements(path: Path) -> tuple[Element, ...]:
    """The lines of an elements.jsonl.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is damaged.
    """
    return tuple(Element.from_line(line.decode()) for line in plain_lines(path, LIST_BYTES, RECORD_BYTES))


def latest_submission(submissions: Iterable[Submission]) -> Submission | None:
    """The newest submission that has reached Slurm, or may have."""
    return next((each for each in reversed(list(submissions)) if each.record.may_exist), None)


def _read(paths: SubmissionPaths) -> Submission:
    try:
        record = SubmissionRecord.from_json(read_json(paths.record))
        elements = read_elements(paths.elements)
    except OSError as error:
        raise StorageError(f"the submission in {paths.root} cannot be read: {storage_errors.what(error)}") from error
    except ValueError as error:
        raise StorageError(f"the submission in {paths.root} is damaged: {error}") from error
    return Submission(paths, _of_script(paths, record) if record.restart_of else record, elements)


def _of_script(paths: SubmissionPaths, record: SubmissionRecord) -> SubmissionRecord:
    """The record of a submission that a batch script made: it wrote its part into files of their own.

    Until one of them is there, it is being submitted.
    """
    number = paths.number
    if not record.comment.endswith(f":{number:04d}"):
        record = replace(record, comment=f"{record.comment}{number:04d}")
    if record.job_id is None and record.lost is None and not record.refused:
        said, refusal = _text(paths.job_id), _text(paths.refusal)
        job_id, _, cluster = said.partition(";")
        if _JOB_ID.fullmatch(job_id):
            record = replace(record, job_id=job_id, slurm_cluster=cluster or None, submitted=_changed(paths.job_id))
        elif refusal:
            record = replace(record, refused=refusal)
    return replace(record, number=number)


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return read_plain(path, RECORD_BYTES).decode(errors="replace").strip()
    return ""


def _changed(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return None


def write_resubmission(
    folder: Path, run: RunPaths, record: SubmissionRecord, elements: Iterable[Element], files: Mapping[str, str]
) -> None:
    """Make the folder of a submission that has no number yet: a batch script moves it to the next that is free.

    Raises:
        OSError: it cannot be written.
    """
    temporary = SubmissionPaths(folder.with_name(f".{folder.name}-{os.urandom(4).hex()}"), run)
    temporary.root.mkdir(mode=0o700)
    _fill(temporary, record, elements, files)
    temporary.root.rename(folder)


def write_submission(
    run: RunPaths, record: SubmissionRecord, elements: Iterable[Element], files: Mapping[str, str]
) -> Submission:
    """Make the folder of a submission, whole or not at all; `files` are its own plan and script, where it has them."""
    paths = run.submission(record.number)
    temporary = SubmissionPaths(run.submissions / f".new-{record.number:04d}-{os.urandom(4).hex()}", run)
    kept = tuple(elements)
    try:
        run.submissions.mkdir(mode=0o700, exist_ok=True)
        temporary.root.mkdir(mode=0o700)
        _fill(temporary, record, kept, files)
        temporary.root.rename(paths.root)
        sync_folder(run.submissions)
    except OSError as error:
        shutil.rmtree(temporary.root, ignore_errors=True)
        where = error.filename or paths.root
        raise StorageError(f"cannot write the submission {where}: {error.strerror or error}") from error
    return Submission(paths, record, kept)


def _fill(
    paths: SubmissionPaths, record: SubmissionRecord, elements: Iterable[Element], files: Mapping[str, str]
) -> None:
    write_atomic(paths.elements, "".join(f"{element.to_line()}\n" for element in elements), mode=0o600)
    for name, text in files.items():
        write_atomic(Path(paths.root / name), text, mode=0o700 if name == paths.script.name else 0o600)
    write_json(paths.record, record.to_json(), mode=0o600)


def collect_jobs(run: RunPaths) -> list[str]:
    """Ids of the jobs that publish the outputs at the end, oldest first."""
    return [str(job["job_id"]) for job in _read_collect_jobs(run)]


def collected_after(run: RunPaths) -> list[str]:
    """Ids of the jobs for whose end the newest of them waits."""
    jobs = _read_collect_jobs(run)
    after = jobs[-1].get("after") if jobs else None
    return [str(job_id) for job_id in after] if isinstance(after, list) else []


def note_collect_job(run: RunPaths, job: Mapping[str, Any]) -> None:
    """Keep the id of such a job."""
    write_json(run.collect_jobs, {"schema": 1, "jobs": [*_read_collect_jobs(run), job]}, mode=0o600)


def _read_collect_jobs(run: RunPaths) -> list[Mapping[str, Any]]:
    try:
        value = read_json(run.collect_jobs)
    except (OSError, ValueError):
        return []
    jobs = value.get("jobs") if isinstance(value, dict) else None
    known = jobs if isinstance(jobs, list) else []
    return [job for job in known if isinstance(job, dict) and _JOB_ID.fullmatch(str(job.get("job_id")))]
