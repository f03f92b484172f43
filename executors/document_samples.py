"""Some of the documents that filters keep and drop, for people to look at: opt in, few, short, without hidden fields.

Whoever drops rows says so with `show_documents`; the adapter listens while it calls a stage, and carries what it hears
to the driver with the report of the batch. Nobody listens where nobody has asked for samples.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Any

_MOST_FIELDS = 20
_MOST_WORDS = 200
"""Characters of the name of a field, or of a reason."""


@dataclass(frozen=True)
class SampleLimits:
    """So many documents that are kept and as many that are dropped, of each filter, with so many characters each.

    `fields` are those to show, none: all; `hidden` are left out, whatever else is said.
    """

    documents: int
    characters: int
    fields: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    def shown(self, names: Sequence[str]) -> list[str]:
        """Of these fields, the ones to show, in the order in which they were asked for."""
        wanted = [name for name in self.fields if name in names] if self.fields else list(names)
        return [name for name in wanted if name not in self.hidden][:_MOST_FIELDS]


@dataclass(frozen=True)
class DocumentSample:
    """A document that a filter kept or dropped, and its figure of it, where it has one."""

    by: str
    kept: bool
    why: str
    fields: Mapping[str, str]


@dataclass
class SampleTaker:
    """What one worker takes of a stage: no more than the limits of each filter, then nothing."""

    limits: SampleLimits
    found: list[DocumentSample] = field(default_factory=list)
    heard: bool = False
    """Whether the stage itself has shown documents."""
    _taken: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def wants(self, by: str, *, kept: bool) -> bool:
        """Whether this filter has not shown enough of them."""
        return self._taken[by, kept] < self.limits.documents

    def take(self, by: str, document: Mapping[str, Any], *, kept: bool, why: str = "") -> None:
        """Take one, cut to what may be shown."""
        self._taken[by, kept] += 1
        names = self.limits.shown(list(document))
        shown = cut({name: document[name] for name in names}, self.limits.characters)
        self.found.append(DocumentSample(by[:_MOST_WORDS], kept, why[:_MOST_WORDS], shown))

    def give(self) -> tuple[DocumentSample, ...]:
        """What was taken since the last time."""
        found, self.found = tuple(self.found), []
        return found


_taker: ContextVar[SampleTaker | None] = ContextVar("sample_taker", default=None)


@contextlib.contextmanager
def showing(taker: SampleTaker | None) -> Iterator[None]:
    """Documents that are shown in the block go to this taker."""
    token = _taker.set(taker)
    try:
        yield
    finally:
        _taker.reset(token)


def show_documents(data: Any, keep: Sequence[bool], by: str, values: Sequence[Any] = ()) -> None:
    """A filter keeps the flagged rows of a table or frame and drops the others; `values` are what it decided by."""
    taker = _taker.get()
    if taker is None:
        return
    taker.heard = True
    with contextlib.suppress(Exception):  # whatever the payload is: what is shown must not fail a task
        names = taker.limits.shown(columns_of(data))
        for kept in (True, False):
            for position, flag in enumerate(keep):
                if not taker.wants(by, kept=kept):
                    break
                if bool(flag) is kept:
                    why = in_short(values[position], _MOST_WORDS) if len(values) == len(keep) else ""
                    taker.take(by, row_of(data, position, names), kept=kept, why=why)


def columns_of(data: Any) -> list[str]:
    """Names of the columns of an Arrow table or a pandas frame, or the keys of a mapping; of anything else none."""
    found = getattr(data, "column_names", None)
    names: Iterable[Any] = found if found is not None else data if isinstance(data, Mapping) else ()
    if found is None and hasattr(data, "iloc"):
        names = getattr(data, "columns", ())
    return [name for name in names if isinstance(name, str)]


def row_of(data: Any, position: int, names: Sequence[str]) -> dict[str, Any]:
    """Some columns of a row."""
    if isinstance(data, Mapping):
        return {name: data[name] for name in names}
    if hasattr(data, "column_names"):
        return {name: data.column(name)[position].as_py() for name in names}
    return {name: data[name].iloc[position] for name in names}


def cut(document: Mapping[str, Any], characters: int) -> dict[str, str]:
    """Its values as text, of so many characters together: short ones are whole, long ones share the rest."""
    texts = {name[:_MOST_WORDS]: in_short(value, characters) for name, value in document.items()}
    left, found = characters, {}
    for number, name in enumerate(sorted(texts, key=lambda name: len(texts[name]))):
        share = left // (len(texts) - number)
        text = texts[name] if len(texts[name]) <= share else texts[name][: max(share - 1, 0)] + "…"
        found[name] = text
        left -= min(len(text), left)
    return {name: found[name] for name in texts}


def in_short(value: Any, characters: int) -> str:
    """A value as text, which costs no more than it is long: of a large array only its ends are looked at."""
    if isinstance(value, str):
        return value[: characters + 1]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, float):
        return f"{value:.6g}"
    short = Repr()
    short.maxstring = short.maxother = characters
    try:
        is_number = type(value).__module__ == "numpy" and not getattr(value, "ndim", 1)
        return short.repr(value.item() if is_number else value)
    except Exception:  # the value is somebody else's
        return type(value).__name__
