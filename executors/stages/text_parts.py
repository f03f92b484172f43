"""Lines, paragraphs and n-grams of a text, as all filters and modifiers count them.

A line ends with LF, CRLF or CR. A blank line is one with white space alone; it is no line of the text, and ends a
paragraph, as any number of blank lines in a row do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LINE = re.compile(r"[^\r\n]+")
_ONE_LINE_END = frozenset({"\n", "\r\n", "\r"})

Span = tuple[int, int]
Ngram = tuple[str, ...]


def lines(text: str) -> list[str]:
    """The lines that are not blank, without their ends."""
    return [line for line in _LINE.findall(text) if line.strip()]


def paragraphs(text: str) -> list[str]:
    """Runs of lines that no blank line divides, with LF between their lines."""
    return ["\n".join(_LINE.findall(text, start, end)) for start, end in paragraph_spans(text)]


def paragraph_spans(text: str) -> list[Span]:
    """Where each paragraph begins and ends, without the line end behind it."""
    spans: list[Span] = []
    for line in _LINE.finditer(text):
        if not line.group().strip():
            continue
        start, end = line.span()
        if spans and text[spans[-1][1] : start] in _ONE_LINE_END:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def line_count(text: str) -> int:
    """The number of lines, blank ones included."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.count("\n") + (text != "" and not text.endswith("\n"))


def ngrams(words: Sequence[str], n: int) -> list[Ngram]:
    """All runs of `n` words, in order."""
    return list(zip(*(words[start:] for start in range(n)), strict=False))
