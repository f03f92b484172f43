"""Bash source text: in which kind of quotes a position lies, and how values are written into it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from enum import StrEnum


class Place(StrEnum):
    """What surrounds a position of bash source text."""

    BARE = "bare"
    DOUBLE = "double"
    OTHER = "other"
    """Single quotes, backticks, a here-document: nothing can be quoted there without knowing more."""


_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def quote(value: str) -> str:
    """`value` as one bash word on one line: plain where it is plain, else quoted, control characters as escapes."""
    if _PLAIN.fullmatch(value):
        return value
    if not any(ord(c) < 32 or ord(c) == 127 for c in value):
        return "'" + value.replace("'", "'\\''") + "'"
    escapes = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": "\\'"}
    return "$'" + "".join(escapes.get(c, f"\\{ord(c):03o}" if ord(c) < 32 or ord(c) == 127 else c) for c in value) + "'"


def places(text: str, positions: Sequence[int]) -> list[Place]:
    """The place of each position of bash source text.

    Knows quotes, `$(...)` inside double quotes, comments and escapes; from a backtick or a here-document on,
    everything is OTHER.
    """
    spans = list(_spans(text))
    starts = [start for start, _ in spans]
    return [spans[bisect_right(starts, position) - 1][1] for position in positions]


_SINGLE = re.compile(r"'[^']*(?:'|$)|\$'(?:[^'\\]|\\.)*(?:'|$)", re.DOTALL)
_HEREDOC = re.compile(r"<<(?!<)-?\s*[\"'\\A-Za-z_]")
_COMMENT = re.compile(r"(?:(?<=[\s;&|()])|^)#[^\n]*", re.MULTILINE)


def _spans(text: str) -> Iterator[tuple[int, Place]]:
    """Where each stretch of one place starts; the innermost of the open quotes and substitutions counts."""
    stack = [Place.BARE]
    at = 0
    yield 0, Place.BARE
    while at < len(text):
        char, bare = text[at], stack[-1] is Place.BARE
        if char == "`" or (bare and _HEREDOC.match(text, at)):
            yield at, Place.OTHER
            return
        if char == "\\":
            at += 2
        elif bare and (single := _SINGLE.match(text, at)):
            yield at, Place.OTHER
            at = single.end()
            yield at, Place.BARE
        elif bare and (comment := _COMMENT.match(text, at)):
            at = comment.end()
        else:
            opened = text.startswith("$(", at)
            at += 2 if opened else 1
            if opened or (bare and char == "("):
                stack.append(Place.BARE)
            elif char == '"':
                stack.append(Place.DOUBLE) if bare else stack.pop()
            elif bare and char == ")" and len(stack) > 1:
                stack.pop()
            else:
                continue
            yield at, stack[-1]


def sbatch_quote(value: str) -> str:
    r"""`value` for a line of #SBATCH, which sbatch splits itself.

    Seen with Slurm 22.05: blanks end a value and `#` starts a comment unless in quotes; inside of double quotes a
    backslash keeps the next character, and nothing is expanded.
    """
    if _PLAIN.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
