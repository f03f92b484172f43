"""In which kind of quotes a position of bash source text lies."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from curator_slurm.launcher.spec.bash_evaluation import is_evaluated


class Quoting(StrEnum):
    """What surrounds a position of bash source text."""

    BARE = "bare"
    DOUBLE = "double"
    COMMENT = "comment"
    OTHER = "other"
    """Single quotes, backticks, here-documents, arithmetic, arguments of `eval`: nothing is expanded, or not safely."""


@dataclass
class _Open:
    """Something that is open: a quote, a substitution, an expansion. The innermost decides."""

    place: Quoting
    closer: str
    is_command: bool = False
    """Whether commands stand in it: the text itself, `( )` and `$( )`."""
    is_evaluated: bool = False
    """Whether it is a command whose output is evaluated, as in arithmetic."""
    begin: int = 0
    """Where the simple command begins that is at hand, if commands stand in it."""
    cases: int = 0
    """`case` statements in it that are still open: their patterns end with a `)` that closes nothing."""


_DEEPEST = 50
"""Nobody nests deeper; what is inside counts as OTHER."""
_SINGLE = re.compile(r"'[^']*(?:'|\Z)|\$'(?:[^'\\]|\\.)*(?:'|\Z)", re.DOTALL)
_HARMLESS = re.compile(r"""(["'])[^()\[\]{}"'`\\]*\1""")
"""Quotes in arithmetic that change nothing, whether bash takes them for quotes there or not."""
_HEREDOC = re.compile(r"(?<!<)<<(?!<)")
_COMMENT = re.compile(r"(?:(?<=[\s;&|()])|^)#[^\n]*", re.MULTILINE)
_COMMAND_BEGINS = re.compile(r"(?:^|[;&|()\n{]|\b(?:then|do|else|if|while|until|time|!))\s*\Z")
_CASE = re.compile(r"case\s")
_ESAC = re.compile(r"(?<![\w-])esac(?![\w-])")
_EVALUATED = re.compile(r"\$\{[!#]?(?:\w+|[@*])(?:\[|:(?![-=+?]))")
"""`${a[i]}` and `${a:i}`: bash takes what stands there as arithmetic, which can run commands."""
_SUBSCRIPT = re.compile(r"(?:(?<=[\s;&|(])|^)(?:[A-Za-z_]\w*)?\[(?![\s\[])", re.MULTILINE)
"""`a[i]=x` and `([i]=x)`: arithmetic, too."""
_SPOILS = re.compile(r"@[PA]\}|\b(?:declare|typeset|local|readonly|export)\s(?:[-+]\w+\s+)*-\w*i")
"""What evaluates variables later on, wherever they were set: prompts (`${x@P}`) and integers (`declare -i`)."""
_NUMERIC_TEST = re.compile(
    r"(?:(?<=[\s;&|(!])|^)\[\[\s(?:(?!\]\]).)*?(?<=\s)-(?:eq|ne|lt|le|gt|ge|v)\s.*?\]\]", re.DOTALL | re.MULTILINE
)
"""So are the operands of such a test."""


def places(text: str, positions: Sequence[int]) -> list[Quoting]:
    """The place of each position of bash source text.

    Knows quotes, `$(...)`, `${...}` and `case` at any depth, comments and escapes; from a backtick or a here-document
    on, and from quotes in arithmetic that have brackets in them, everything is OTHER.
    """
    if _SPOILS.search(text):
        return [Quoting.OTHER] * len(positions)
    spans = list(_spans(text))
    starts = [start for start, _, _ in spans]
    numeric = [match.span() for match in _NUMERIC_TEST.finditer(text)]
    found = []
    for position in positions:
        _, place, begins = spans[bisect_right(starts, position) - 1]
        if place in (Quoting.BARE, Quoting.DOUBLE) and (
            any(start < position < end for start, end in numeric)
            or any(is_evaluated(text[begin:position], text[position:]) for begin in begins)
        ):
            place = Quoting.OTHER
        found.append(place)
    return found


def _spans(text: str) -> Iterator[tuple[int, Quoting, tuple[int, ...]]]:
    """Where each stretch of one place starts, and where the simple commands around it begin."""
    stack = [_Open(Quoting.BARE, "", is_command=True)]
    at = 0
    yield 0, Quoting.BARE, (0,)
    while at < len(text):
        inner = stack[-1]
        bare = inner.place is Quoting.BARE
        if text[at] == "`" or (bare and _HEREDOC.match(text, at)) or len(stack) > _DEEPEST:
            yield at, Quoting.OTHER, ()
            return
        if text[at] == "\\":
            at += 2
            continue
        if inner.place is Quoting.OTHER and text[at] in "\"'":
            harmless = _HARMLESS.match(text, at)
            if not harmless:
                yield at, Quoting.OTHER, ()
                return
            at = harmless.end()
            continue
        if bare and (single := _SINGLE.match(text, at)):
            yield at, Quoting.OTHER, ()
            at = single.end()
        elif inner.is_command and (comment := _COMMENT.match(text, at)):
            yield at, Quoting.COMMENT, ()
            at = comment.end()
        else:
            at += _step(text, at, stack)
        place = Quoting.OTHER if stack[-1].is_evaluated else stack[-1].place
        yield at, place, tuple(each.begin for each in stack if each.is_command)


def _step(text: str, at: int, stack: list[_Open]) -> int:
    """Open or close what begins or ends at `at`; the number of characters of it."""
    inner = stack[-1]
    opened = _opened(text, at, inner)
    if opened:
        length, things = opened
        for thing in things:
            thing.begin = at + length
            thing.is_evaluated = inner.is_evaluated or inner.place is Quoting.OTHER
        stack.extend(things)
        return length
    if inner.is_command and _ends_command(text, at):
        inner.begin = at + 1
        return 1
    if text[at] == inner.closer and len(stack) > 1 and not inner.cases:
        stack.pop()
        if text[at] == ")" and stack[-1].cases:  # of `(pattern)`
            stack[-1].begin = at + 1
    elif text[at] == ")" and inner.cases:
        inner.begin = at + 1
    elif inner.is_command and _CASE.match(text, at) and _COMMAND_BEGINS.search(text[max(0, at - 40) : at]):
        inner.cases += 1
    elif inner.cases and _ESAC.match(text, at):
        inner.cases -= 1
    return 1


def _ends_command(text: str, at: int) -> bool:
    """Whether a simple command ends here: a separator, but not the `&` or `|` of a redirection."""
    if text[at] in ";\n":
        return True
    redirects = text[at - 1 : at] in ("<", ">") or text[at + 1 : at + 2] == ">"
    return text[at] in "&|" and not redirects


def _opened(text: str, at: int, inner: _Open) -> tuple[int, list[_Open]] | None:
    """What opens at `at`, if anything: its length and itself, outermost first."""
    if text.startswith("$((", at) or (inner.is_command and text.startswith("((", at)):
        return (3 if text[at] == "$" else 2), [_Open(Quoting.OTHER, ")"), _Open(Quoting.OTHER, ")")]
    if text.startswith("$(", at):
        return 2, [_Open(Quoting.BARE, ")", is_command=True)]
    if text.startswith("$[", at):
        return 2, [_Open(Quoting.OTHER, "]")]
    if inner.is_command and (subscript := _SUBSCRIPT.match(text, at)):
        return subscript.end() - at, [_Open(Quoting.OTHER, "]")]
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
