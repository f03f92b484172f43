"""What a stage has to say beside its outputs: rows that it had to leave out, and remarks for the end of the run.

The adapter listens while it calls a stage, and carries what it hears to the driver with the report of the batch.
Elsewhere (on another library's executor) a failing row is an error, and a remark a line of the log.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.executors.task_failures import FailedTaskRecord, short_error
from curator_slurm.executors.tasks import files_of, source_of

log = logging.getLogger(__name__)

_MOST_LINES = 1000
"""How many failing rows of one file have a record of their own; one record counts the others."""


@dataclass(frozen=True)
class _Row:
    file: str
    line: int | None
    error: str


@dataclass
class Remarks:
    """What was heard during one call; `skips` says whether failing rows may be left out."""

    skips: bool
    notes: dict[str, None] = field(default_factory=dict)
    _rows: dict[str, list[_Row]] = field(default_factory=dict)
    _more: dict[str, int] = field(default_factory=dict)

    def add(self, row: _Row) -> None:
        """Count a row, and keep it, if it is among the first of its file."""
        kept = self._rows.setdefault(row.file, [])
        if len(kept) <= _MOST_LINES:
            kept.append(row)
        else:
            self._more[row.file] = self._more.get(row.file, 0) + 1

    def failed_rows(self, stage: str, task: Any) -> list[FailedTaskRecord]:
        """A record for each row; one for all behind the thousandth of a file, at the line of the first of these."""
        records = []
        source = next(iter(files_of(task)), None)
        for file, rows in self._rows.items():
            for number, row in enumerate(rows):
                count = 1 + (self._more.get(file, 0) if number == _MOST_LINES else 0)
                error = row.error if count == 1 else f"{count} rows failed from here on, this one with {row.error}"
                where = (file or source, row.line, count)
                records.append(FailedTaskRecord(stage, task.task_id, source_of(task), 1, error, "", *where))
        return records


_heard: ContextVar[Remarks | None] = ContextVar("remarks", default=None)


@contextlib.contextmanager
def listening(*, skips: bool) -> Iterator[Remarks]:
    """Collect what is said in the block."""
    remarks = Remarks(skips)
    token = _heard.set(remarks)
    try:
        yield remarks
    finally:
        _heard.reset(token)


def leave_out(error: Exception, file: str = "", line: int | None = None, *, asked_for: bool = False) -> None:
    """Leave out a row that cannot be processed, or without a line the file, whose rows nobody can count.

    Without a file, the record names the one that the task was read from.

    With `asked_for`, an option of the stage says so: then it is left out, and recorded, under any policy.

    Raises:
        Exception: the error, where failures are not to be skipped.
    """
    remarks = _heard.get()
    if not asked_for and (remarks is None or not remarks.skips):
        raise error
    if remarks is None:
        log.warning("left out: %s", error)
        return
    remarks.add(_Row(file, line, short_error(error, [file])))


def described(task: Any) -> str:
    """A task in a message, with the files that its rows come from."""
    files = files_of(task)
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"task {task.task_id}" + (f" of {files[0]}{more}" if files else "")


def leave_out_files(wrong: Mapping[str, ValueError], paths: Sequence[str]) -> None:
    """Leave out files of a group that cannot be read, where failures are skipped and there are others in the group.

    Raises:
        ValueError: the first of the errors.
    """
    for path, error in wrong.items():
        if len(wrong) == len(paths):
            raise error
        leave_out(error, path)


def note(text: str) -> None:
    """Say something once at the end of the run."""
    log.warning("%s", text)
    remarks = _heard.get()
    if remarks is not None:
        remarks.notes[text] = None
