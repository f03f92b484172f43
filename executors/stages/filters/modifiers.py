"""Modifiers of text for `Modify`, with NeMo Curator's names, arguments and meaning. A null stays a null."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from curator_slurm.executors.stages import text_parts
from curator_slurm.executors.stages.filters.boilerplate import has_notice, is_placeholder
from curator_slurm.executors.stages.filters.document_filter import DocumentModifier

_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_MANY_LINE_ENDS = re.compile(r"\n{3,}|(?:\r\n){3,}")
_MARKDOWN = [
    (re.compile(r"\*\*(.*?)\*\*"), r"\1"),
    (re.compile(r"\*(.*?)\*"), r"\1"),
    (re.compile(r"_(.*?)_"), r"\1"),
    (re.compile(r"\[.*?\]\((.*?)\)"), r"\1"),
]


class _TextModifier(DocumentModifier):
    """Changes one text."""

    def modify_document(self, text: Any) -> Any:
        return None if text is None else self.modified(text)

    @abstractmethod
    def modified(self, text: str) -> str:
        """The new text."""


class BoilerPlateStringModifier(_TextModifier):
    """Cuts notices about cookies, terms and privacy off the top or the bottom of a text.

    A text with placeholders becomes empty. One with notices elsewhere, or at both ends, stays as it is; where
    `remove_if_at_top_or_bottom` is false, any notice empties the text. What is left is not changed.
    """

    def __init__(self, remove_if_at_top_or_bottom: bool = True) -> None:
        self._name = "boilerplate_string_ratio"
        self._cuts = remove_if_at_top_or_bottom

    def modified(self, text: str) -> str:
        spans = text_parts.paragraph_spans(text)
        if any(is_placeholder(text[start:end]) for start, end in spans):
            return ""
        found = [index for index, (start, end) in enumerate(spans) if has_notice(text[start:end])]
        if not found:
            return text
        if not self._cuts:
            return ""
        first, last = found[0], found[-1]
        contiguous = last - first + 1 == len(found) < len(spans)
        if contiguous and first == 0:
            return text[spans[last + 1][0] :]
        if contiguous and last == len(spans) - 1:
            return text[: spans[first - 1][1]]
        return text


class LineRemover(_TextModifier):
    """Removes the lines that equal one of the patterns."""

    def __init__(self, patterns: Sequence[str]) -> None:
        super().__init__()
        if isinstance(patterns, str):
            raise TypeError(f"patterns must be a list of lines, not {patterns!r}")
        self._patterns = frozenset(patterns)

    def modified(self, text: str) -> str:
        kept = [line for line in text.split("\n") if line.removesuffix("\r") not in self._patterns]
        return "\n".join(kept)


class MarkdownRemover(_TextModifier):
    """Removes Markdown's marks of bold, italic and underlined text, and leaves the address alone of a link."""

    def modified(self, text: str) -> str:
        for pattern, inner in _MARKDOWN:
            text = pattern.sub(inner, text)  # no dot matches a line end, so a pair of marks lies in one line
        return text


class NewlineNormalizer(_TextModifier):
    """Makes two line ends of three or more in a row."""

    def modified(self, text: str) -> str:
        return _MANY_LINE_ENDS.sub(lambda match: ("\r\n" if "\r" in match.group() else "\n") * 2, text)


class QuotationRemover(_TextModifier):
    """Removes the quotation marks around a text; not where its first line of several ends with one, too."""

    def modified(self, text: str) -> str:
        if len(text.strip()) <= 2 or not (text.startswith('"') and text.endswith('"')):
            return text
        first, *others = text.splitlines()
        return text if others and first.endswith('"') else text[1:-1]


class Slicer(_TextModifier):
    """Cuts a text at positions, or at the first `left` and the last `right` text; empty where one is not found."""

    def __init__(
        self,
        left: int | str | None = 0,
        right: int | str | None = None,
        include_left: bool = True,
        include_right: bool = True,
        strip: bool = True,
    ) -> None:
        super().__init__()
        self._left, self._right = left, right
        self._include_left, self._include_right = include_left, include_right
        self._strip = strip

    def modified(self, text: str) -> str:
        start, end = self._left, self._right
        if isinstance(start, str):
            found = text.find(start)
            if found < 0:
                return ""
            start = found + (0 if self._include_left else len(start))
        if isinstance(end, str):
            found = text.rfind(end)
            if found < 0:
                return ""
            end = found + (len(end) if self._include_right else 0)
        part = text[start:end]
        return part.strip() if self._strip else part


class UrlRemover(_TextModifier):
    """Removes URLs: `http://`, `https://` or `www.`, and all that follows up to white space."""

    def modified(self, text: str) -> str:
        return _URL.sub("", text)
