"""Documents that a stage has dropped and kept, told by what went in and what came out, where the stage does not say.

Only what is sure is taken: rows that come out as they went in, in the same order, and those between them that come out
nowhere. A stage that changes rows, or puts them in another order, shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.document_samples import SampleTaker, columns_of, row_of

_ROWS = 64
"""Of an input that are looked at."""
_ROWS_OUT = 2000
"""Of more outputs nothing can be told."""
_CALLS = 500
"""Of a worker that are looked at: a stage that drops nothing must not cost anything for ever."""
_SEEN_OF_VALUE = 2000

Row = dict[str, Any]


@dataclass(frozen=True)
class Before:
    """The first rows of a task as they were, and how many it had."""

    rows: Sequence[Row]
    count: int


class Comparer:
    """What one worker compares for a stage."""

    def __init__(self, taker: SampleTaker, stage: str) -> None:
        self._taker = taker
        self._stage = stage
        self._calls = 0
        self._drops = False

    def before(self, tasks: Sequence[Any]) -> list[Before]:
        """The first rows of each task, before a call may change them; nothing where there are enough samples."""
        wanted = [kept for kept in (True, False) if self._taker.wants(self._stage, kept=kept)]
        if not wanted or self._calls >= _CALLS:
            return []
        self._calls += 1
        return [Before(rows_of(task, _ROWS), _count(task)) for task in tasks]

    def after(self, before: Sequence[Before], outputs: Iterable[tuple[int | None, Any]]) -> None:
        """Take what these outputs of inputs (None: of which one is not known) say about the rows."""
        made: dict[int, list[Any]] = {}
        for parent, output in outputs:
            if parent is None:
                return
            made.setdefault(parent, []).append(output)
        for position, task in enumerate(before):
            found = made.get(position, [])
            count = sum(map(_count, found))
            self._drops = self._drops or count < task.count
            if count > min(task.count, _ROWS_OUT) or not self._drops:
                continue
            if not all(columns_of(getattr(output, "data", None)) for output in found):
                continue
            kept = compared(task.rows, [row for output in found for row in rows_of(output, count)])
            for row, is_kept in zip(task.rows, kept, strict=False):
                if self._taker.wants(self._stage, kept=is_kept):
                    self._taker.take(self._stage, row, kept=is_kept)


def rows_of(task: Any, most: int) -> list[Row]:
    """The first rows of a task with columns; its one document, where the payload is a mapping."""
    data: Any = getattr(task, "data", None)
    names = columns_of(data)
    return [row_of(data, position, names) for position in range(min(_count(task), most))]


def _count(task: Any) -> int:
    data: Any = getattr(task, "data", None)
    if not columns_of(data):
        return 0
    return 1 if isinstance(data, Mapping) else len(data)


def compared(rows: Sequence[Row], out: Sequence[Row]) -> list[bool]:
    """For the first of the rows, as far as it is sure, whether they are among those that came out."""
    if not rows or not out:
        return [False] * len(rows)
    names = [name for name in rows[0] if name in out[0]]
    keys, came = [_key(row, names) for row in rows], [_key(row, names) for row in out]
    flags: list[bool] = []
    for key in came:
        try:
            place = keys.index(key, len(flags))
        except ValueError:
            break
        flags += [False] * (place - len(flags)) + [True]
    else:
        flags += [False] * (len(keys) - len(flags))
    everything = set(came)
    dropped = [key for key, kept in zip(keys, flags, strict=False) if not kept]
    return flags if names and everything.isdisjoint(dropped) else []


def _key(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.get(name))[:_SEEN_OF_VALUE] for name in names)
