"""Filters of lines and paragraphs for `ScoreFilter`, with NeMo Curator's names, limits and meaning.

Lines and paragraphs are those of `text_parts`; NeMo Curator calls the lines sentences. A document without any is
dropped.
"""

from __future__ import annotations

from abc import abstractmethod

from curator_slurm.executors.stages import text_parts
from curator_slurm.executors.stages.filters.boilerplate import has_notice, is_placeholder
from curator_slurm.executors.stages.filters.document_filter import RatioFilter

_BULLETS = tuple("•‣⁃⁌⁍∙○●◘◦⦾⦿")
_ENDS = (".", "?", "!", '"', "'")
_ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more", "read more..")


class _LineRatioFilter(RatioFilter):
    """Scores a document by the share of its lines that `_counts` says yes to."""

    @abstractmethod
    def _counts(self, line: str) -> bool:
        """Whether a line, without white space around it, is one of those."""

    def score_document(self, text: str) -> float:
        lines = self._sentences if self._sentences is not None else text_parts.lines(text)
        return sum(self._counts(line.strip()) for line in lines) / len(lines) if lines else 1.0


class BulletsFilter(_LineRatioFilter):
    """Drops documents in which too many lines start with a bullet."""

    def __init__(self, max_bullet_lines_ratio: float = 0.9) -> None:
        super().__init__("bullet_ratio", max_bullet_lines_ratio)

    def _counts(self, line: str) -> bool:
        return line.startswith(_BULLETS)


class PunctuationFilter(_LineRatioFilter):
    """Drops documents in which too many lines end without a full stop, question, exclamation or quotation mark."""

    def __init__(self, max_num_sentences_without_endmark_ratio: float = 0.85) -> None:
        super().__init__("punctuation", max_num_sentences_without_endmark_ratio)

    def _counts(self, line: str) -> bool:
        return not line.endswith(_ENDS)


class EllipsisFilter(_LineRatioFilter):
    """Drops documents in which too many lines end with an ellipsis, or with "read more"."""

    def __init__(self, max_num_lines_ending_with_ellipsis_ratio: float = 0.3) -> None:
        super().__init__("ellipsis", max_num_lines_ending_with_ellipsis_ratio)

    def _counts(self, line: str) -> bool:
        return line.lower().endswith(_ELLIPSES)


class BoilerPlateStringFilter(RatioFilter):
    """Drops documents with placeholder text, or with notices about cookies, terms and privacy in too many paragraphs.

    `remove_if_at_top_or_bottom` changes nothing, as in NeMo Curator; `BoilerPlateStringModifier` knows the difference.
    """

    def __init__(self, remove_if_at_top_or_bottom: bool = True, max_boilerplate_string_ratio: float = 0.4) -> None:
        super().__init__("boilerplate_string_ratio", max_boilerplate_string_ratio)
        self._remove_if_at_top_or_bottom = remove_if_at_top_or_bottom

    def score_document(self, text: str) -> float:
        paragraphs = text_parts.paragraphs(text)
        if not paragraphs or any(map(is_placeholder, paragraphs)):
            return 1.0
        return sum(map(has_notice, paragraphs)) / len(paragraphs)
