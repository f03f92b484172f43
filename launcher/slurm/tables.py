"""The tables that squeue and sacct print: which lines are rows, and when the output is no answer at all. Pure.

Whether a job is gone is concluded from a row that is not there. So the output counts as an answer only if it has the
header that was asked for, or a row: a wrapper that prints nothing, or something else, has not answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from curator_slurm.launcher.ranges import shortened

_ROW = re.compile(r"\s*[0-9][0-9_+.]*(\[[^\]|]*\]?)?\s*\|")
"""A line that begins with a job id: it must be a row, or else it is damaged."""
_ERROR = re.compile(r"\b(error|fatal):", re.IGNORECASE)


class UnreadableOutputError(ValueError):
    """A command of Slurm has printed something else than was asked for."""


def rows(text: str, header: Sequence[str], *, last_has_any: bool) -> Iterator[list[str]]:
    """The fields of each row; lines that are none, such as a site's greetings and `CLUSTER: name`, are passed over.

    `last_has_any`: the last field may hold the separator.

    Raises:
        UnreadableOutputError: there is no header and no row, or a row is damaged, or an error stands between them.
    """
    if text and not text.endswith("\n"):
        raise UnreadableOutputError(f"its output is cut off after {shortened(text[-60:])}")
    folded = [name.casefold() for name in header]
    answered = False
    for line in _lines(text, len(header)):
        fields = line.split("|", len(header) - 1 if last_has_any else -1)
        if [field.strip().casefold() for field in fields] == folded:
            answered = True
        elif _ROW.match(line):
            if len(fields) != len(header):
                raise UnreadableOutputError(f"{len(fields)} fields in place of {len(header)}: {shortened(line)}")
            answered = True
            yield fields
        elif _ERROR.search(line):
            raise UnreadableOutputError(f"it printed {shortened(line)}")
    if not answered:
        found = next((line for line in text.split("\n") if line.strip()), "")
        raise UnreadableOutputError(f"it printed {shortened(found)}" if found else "it printed nothing")


def _lines(text: str, fields: int) -> Iterator[str]:
    """The lines; those of one row whose fields have line breaks, such as the name of a folder, as one."""
    row = ""
    for line in text.split("\n"):
        if row and not _ROW.match(line):
            row += f"\n{line}"
        else:
            if row:
                yield row
            row = line
        if not _ROW.match(row) or row.count("|") >= fields - 1:
            yield row
            row = ""
    if row:
        yield row.rstrip("\n")
