"""Filters of repetition within a document for `ScoreFilter`, with NeMo Curator's names, limits and meaning.

The filters of lines and paragraphs score what is left without repetition, those of n-grams what is repeated. Lines and
paragraphs are those of `text_parts`. A document without any is dropped; so is one of fewer than `n` words.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence

from curator_slurm.executors.stages import text_parts
from curator_slurm.executors.stages.filters.document_filter import DocumentFilter, RatioFilter, limit
from curator_slurm.executors.stages.text_parts import Ngram
from curator_slurm.executors.stages.word_splitter import WordSplitter


class _DistinctFilter(DocumentFilter):
    """Keeps documents in which the share of distinct parts is at least a limit."""

    def __init__(self, name: str, least: float) -> None:
        self._name = name
        self._least = limit(self, "its limit", least)

    def keep_document(self, score: float) -> bool:
        return score >= self._least

    def _lines(self, text: str) -> list[str]:
        return self._sentences if self._sentences is not None else text_parts.lines(text)

    def _blocks(self, text: str) -> list[str]:
        return self._paragraphs if self._paragraphs is not None else text_parts.paragraphs(text)


class RepeatedLinesFilter(_DistinctFilter):
    """Keeps documents in which at least this fraction of the non-blank lines is distinct."""

    def __init__(self, max_repeated_line_fraction: float = 0.7) -> None:
        super().__init__("repeated_lines", max_repeated_line_fraction)

    def score_document(self, text: str) -> float:
        return _distinct(self._lines(text))


class RepeatedLinesByCharFilter(_DistinctFilter):
    """As `RepeatedLinesFilter`, counted in characters."""

    def __init__(self, max_repeated_lines_char_ratio: float = 0.8) -> None:
        super().__init__("repeated_lines_char", max_repeated_lines_char_ratio)

    def score_document(self, text: str) -> float:
        return _distinct_characters(self._lines(text))


class RepeatedParagraphsFilter(_DistinctFilter):
    """Keeps documents in which at least this fraction of the paragraphs (separated by blank lines) is distinct."""

    def __init__(self, max_repeated_paragraphs_ratio: float = 0.7) -> None:
        super().__init__("repeated_paragraphs", max_repeated_paragraphs_ratio)

    def score_document(self, text: str) -> float:
        return _distinct(self._blocks(text))


class RepeatedParagraphsByCharFilter(_DistinctFilter):
    """As `RepeatedParagraphsFilter`, counted in characters."""

    def __init__(self, max_repeated_paragraphs_char_ratio: float = 0.8) -> None:
        super().__init__("repeated_paragraphs_char", max_repeated_paragraphs_char_ratio)

    def score_document(self, text: str) -> float:
        return _distinct_characters(self._blocks(text))


class _NgramFilter(RatioFilter):
    """Keeps documents of which repeated runs of `n` words are at most a fraction, in characters."""

    def __init__(self, name: str, n: int, most: float, lang: str) -> None:
        if not isinstance(n, int) or n < 1:
            raise ValueError(f"n must be 1 or more, not {n!r}")
        super().__init__(name, most)
        self._n = n
        self._words = WordSplitter(lang)

    def score_document(self, text: str) -> float:
        ngrams = self._ngrams if self._ngrams is not None else text_parts.ngrams(self._words(text), self._n)
        return self._repeated(text, ngrams) / len(text) if text and ngrams else 1.0

    @abstractmethod
    def _repeated(self, text: str, ngrams: Sequence[Ngram]) -> int:
        """How many characters of the text are repetition."""


class RepeatingTopNGramsFilter(_NgramFilter):
    """Drops documents of which the most frequent run of `n` words is too much; of several the one that comes first.

    It counts wherever it stands with single spaces between its words, or in languages without spaces with none.
    """

    def __init__(self, n: int = 2, max_repeating_ngram_ratio: float = 0.2, lang: str = "en") -> None:
        super().__init__(f"repeating_top_{n}grams", n, max_repeating_ngram_ratio, lang)

    def _repeated(self, text: str, ngrams: Sequence[Ngram]) -> int:
        [(words, _)] = Counter(ngrams).most_common(1)
        top = self._words.between.join(words)
        return text.count(top) * len(top)


class RepeatingDuplicateNGramsFilter(_NgramFilter):
    """Drops documents in which runs of `n` words that were there before are too much, with the spaces in them."""

    def __init__(self, n: int = 2, max_repeating_duplicate_ngram_ratio: float = 0.2, lang: str = "en") -> None:
        super().__init__(f"repeating_dup_{n}gram", n, max_repeating_duplicate_ngram_ratio, lang)

    def _repeated(self, text: str, ngrams: Sequence[Ngram]) -> int:  # noqa: ARG002
        seen: set[Ngram] = set()
        characters = spaces = 0
        counted = 0  # how many words at the start of the n-gram belong to an earlier duplicate
        for ngram in ngrams:
            if ngram in seen:
                characters += sum(map(len, ngram[counted:]))
                spaces += min(self._n - counted, self._n - 1)
                counted = self._n
            seen.add(ngram)
            counted = max(counted - 1, 0)
        return characters + spaces * len(self._words.between)


def _distinct(parts: Sequence[str]) -> float:
    return len(set(parts)) / len(parts) if parts else 0.0


def _distinct_characters(parts: Sequence[str]) -> float:
    total = sum(map(len, parts))
    return sum(map(len, set(parts))) / total if total else 0.0
