"""In which kind of quotes a position of bash source text lies."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Quoting(StrEnum):
    """What surrounds a position of bash source text."""

    BARE = "bare"
    DOUBLE = "double"
    COMMENT = "comment"
    OTHER = "other"
    """Single quotes, backticks, here-documents, arithmetic: a variable is not expanded there, or not safe."""


@dataclass
class _Open:
    """Something that is open: a quote, a substitution, an expansion. The innermost decides."""

    place: Quoting
    closer: str
    is_command: bool = False
    """Whether commands stand in it: the text itself, `( )` and `$( )`."""
    cases: int = 0
    """`case` statements in it that are still open: their patterns end with a `)` that closes nothing."""


_SINGLE = re.compile(r"'[^']*(?:'|\Z)|\$'(?:[^'\\]|\\.)*(?:'|\Z)", re.DOTALL)
_HEREDOC = re.compile(r"(?<!<)<<(?!<)-?\s*[\"'\\A-Za-z_]")
_COMMENT = re.compile(r"(?:(?<=[\s;&|()])|^)#[^\n]*", re.MULTILINE)
_COMMAND_BEGINS = re.compile(r"(?:^|[;&|()\n{]|\b(?:then|do|else|if|while|until|time|!))\s*\Z")
_CASE = re.compile(r"case\s")
_ESAC = re.compile(r"(?<![\w-])esac(?![\w-])")
_EVALUATED = re.compile(r"\$\{[!#]?\w+(?:\[|:(?![-=+?]))")
"""`${a[i]}` and `${a:i}`: bash takes what stands there as arithmetic, which can run commands."""
_NUMERIC_TEST = re.compile(
    r"(?:(?<=[\s;&|(!])|^)\[\[\s(?:(?!\]\]).)*?(?<=\s)-(?:eq|ne|lt|le|gt|ge|v)\s.*?\]\]", re.DOTALL | re.MULTILINE
)
"""So are the operands of such a test."""


def places(text: str, positions: Sequence[int]) -> list[Quoting]:
    """The place of each position of bash source text.

    Knows quotes, `$(...)`, `${...}` and `case` at any depth, comments and escapes; from a backtick or a here-document
    on, everything is OTHER.
    """
    spans = list(_spans(text))
    starts = [start for start, _ in spans]
    numeric = [match.span() for match in _NUMERIC_TEST.finditer(text)]
    return [
        Quoting.OTHER
        if any(start < position < end for start, end in numeric)
        else spans[bisect_right(starts, position) - 1][1]
        for position in positions
    ]


def _spans(text: str) -> Iterator[tuple[int, Quoting]]:
    """Where each stretch of one place starts."""
    stack = [_Open(Quoting.BARE, "", is_command=True)]
    at = 0
    yield 0, Quoting.BARE
    while at < len(text):
        inner = stack[-1]
        bare = inner.place is Quoting.BARE
        if text[at] == "`" or (bare and _HEREDOC.match(text, at)):
            yield at, Quoting.OTHER
            return
        if text[at] == "\\":
            at += 2
            continue
        if bare and (single := _SINGLE.match(text, at)):
            yield at, Quoting.OTHER
            at = single.end()
        elif inner.is_command and (comment := _COMMENT.match(text, at)):
            yield at, Quoting.COMMENT
            at = comment.end()
        else:
            at += _step(text, at, stack)
        yield at, stack[-1].place


def _step(text: str, at: int, stack: list[_Open]) -> int:
    """Open or close what begins or ends at `at`; the number of characters of it."""
    inner = stack[-1]
    opened = _opened(text, at, inner)
    if opened:
        length, things = opened
        stack.extend(things)
        return length
    if text[at] == inner.closer and len(stack) > 1 and not inner.cases:
        stack.pop()
    elif inner.is_command and _CASE.match(text, at) and _COMMAND_BEGINS.search(text[max(0, at - 40) : at]):
        inner.cases += 1
    elif inner.cases and _ESAC.match(text, at):
        inner.cases -= 1
    return 1


def _opened(text: str, at: int, inner: _Open) -> tuple[int, list[_Open]] | None:
    """What opens at `at`, if anything: its length and itself, outermost first."""
    if text.startswith("$((", at) or (inner.is_command and text.startswith("((", at)):
        return (3 if text[at] == "$" else 2), [_Open(Quoting.OTHER, ")"), _Open(Quoting.OTHER, ")")]
    if text.startswith("$(", at):
        return 2, [_Open(Quoting.BARE, ")", is_command=True)]
    if evaluated := _EVALUATED.match(text, at):
        return evaluated.end() - at, [_Open(Quoting.OTHER, "}")]
    if text.startswith("${", at):
        return 2, [_Open(inner.place, "}")]
    if text[at] == "(" and inner.closer == ")":
        return 1, [_Open(inner.place, ")", is_command=inner.is_command)]
    if text[at] == "(" and inner.is_command:
        return 1, [_Open(Quoting.BARE, ")", is_command=True)]
    if text[at] == '"' and inner.place is Quoting.BARE:  # quotes inside of quoted `${...}` change nothing
        return 1, [_Open(Quoting.DOUBLE, '"')]
    return None
