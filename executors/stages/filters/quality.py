"""Filters of words and characters for `ScoreFilter`, with NeMo Curator's names, limits and meaning.

Filters that look at words take `lang`, an ISO 639-1 code, and split text as `WordSplitter` does. Every filter that
needs words or characters drops an empty document.
"""

from __future__ import annotations

import re

from curator_slurm.executors.stages.filters.document_filter import DocumentFilter, RatioFilter, limit, limits
from curator_slurm.executors.stages.word_splitter import WordSplitter

_NOT_COUNTED_AS_TEXT = re.compile(r"[^a-zA-Z0-9\n?!,.]")
_DIGIT = re.compile(r"\d")
_URL = re.compile(r"https?://(?:[\w$\-@.&+/:=?#~!*(),]|%[0-9A-Fa-f]{2})+", re.ASCII)
_ELLIPSES = frozenset({"...", "[...]", "…", "(...)", "[…]", "-»"})
_COMMON_ENGLISH = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_BLANKS = "\t\n\r\b "


class WordCountFilter(DocumentFilter):
    """Keeps documents of `min_words` to `max_words` words."""

    def __init__(self, min_words: int = 50, max_words: int = 100000, lang: str = "en") -> None:
        self._name = "word_count"
        self._words = WordSplitter(lang)
        self._least, self._most = limits(self, ("min_words", min_words), ("max_words", max_words))

    def score_document(self, text: str) -> int:
        return len(self._words(text))

    def keep_document(self, score: int) -> bool:
        return self._least <= score <= self._most


class MeanWordLengthFilter(DocumentFilter):
    """Keeps documents whose mean word length is in a range."""

    def __init__(self, min_mean_word_length: float = 3, max_mean_word_length: float = 10, lang: str = "en") -> None:
        self._name = "mean_word_length"
        self._words = WordSplitter(lang)
        self._least, self._most = limits(
            self, ("min_mean_word_length", min_mean_word_length), ("max_mean_word_length", max_mean_word_length)
        )

    def score_document(self, text: str) -> float:
        words = self._words(text)
        return sum(map(len, words)) / len(words) if words else 0.0

    def keep_document(self, score: float) -> bool:
        return score > 0 and self._least <= score <= self._most


class LongWordFilter(DocumentFilter):
    """Drops documents with a word of more than `max_word_length` characters."""

    def __init__(self, max_word_length: int = 1000, lang: str = "en") -> None:
        self._name = "max_word_length"
        self._words = WordSplitter(lang)
        self._most = limit(self, "max_word_length", max_word_length)

    def score_document(self, text: str) -> int:
        return max(map(len, self._words(text)), default=0)

    def keep_document(self, score: int) -> bool:
        return 0 < score <= self._most


class NonAlphaNumericFilter(RatioFilter):
    """Drops documents with too many characters that are not ASCII letters, digits, line ends, or any of `?!,.`."""

    def __init__(self, max_non_alpha_numeric_to_text_ratio: float = 0.25) -> None:
        super().__init__("alpha_numeric", max_non_alpha_numeric_to_text_ratio)

    def score_document(self, text: str) -> float:
        return len(_NOT_COUNTED_AS_TEXT.findall(text)) / len(text) if text else 1.0


class SymbolsToWordsFilter(RatioFilter):
    """Drops documents in which too many words are ellipses or have a hash sign for more than every other character."""

    def __init__(self, max_symbol_to_word_ratio: float = 0.1, lang: str = "en") -> None:
        super().__init__("symbol_to_word", max_symbol_to_word_ratio)
        self._words = WordSplitter(lang)

    def score_document(self, text: str) -> float:
        words = self._words(text)
        symbols = sum(word in _ELLIPSES or ("#" in word and _hashes(word) / len(word) > 0.5) for word in words)
        return symbols / len(words) if words else 1.0


def _hashes(word: str) -> int:
    """Runs of hash signs in a word."""
    return len(re.findall("#+", word))


class NumbersFilter(RatioFilter):
    """Drops documents with too many digits."""

    def __init__(self, max_number_to_text_ratio: float = 0.15) -> None:
        super().__init__("numbers_ratio", max_number_to_text_ratio)

    def score_document(self, text: str) -> float:
        return len(_DIGIT.findall(text)) / len(text) if text else 1.0


class UrlsFilter(RatioFilter):
    """Drops documents in which URLs make up too many of the characters."""

    def __init__(self, max_url_to_text_ratio: float = 0.2, url_regex: re.Pattern[str] | str | None = None) -> None:
        super().__init__("urls_ratio", max_url_to_text_ratio)
        self._url = re.compile(url_regex) if url_regex is not None else _URL

    def score_document(self, text: str) -> float:
        return sum(len(match.group()) for match in self._url.finditer(text)) / len(text) if text else 1.0


class PornographicUrlsFilter(DocumentFilter):
    """Drops documents with a URL that names pornography."""

    def __init__(self, url_regex: re.Pattern[str] | str | None = None) -> None:
        super().__init__()
        self._url = re.compile(url_regex) if url_regex is not None else _URL

    def score_document(self, text: str) -> int:
        return int(any("porn" in match.group() for match in self._url.finditer(text)))

    def keep_document(self, score: int) -> bool:
        return score != 1


class WhiteSpaceFilter(RatioFilter):
    """Drops documents with too much white space, leading and trailing included."""

    def __init__(self, max_white_space_ratio: float = 0.25) -> None:
        super().__init__("white_space", max_white_space_ratio)

    def score_document(self, text: str) -> float:
        return sum(map(text.count, _BLANKS)) / len(text) if text else 1.0


class ParenthesesFilter(RatioFilter):
    """Drops documents with too many brackets of any kind."""

    def __init__(self, max_parentheses_ratio: float = 0.1) -> None:
        super().__init__("parentheses_ratio", max_parentheses_ratio)

    def score_document(self, text: str) -> float:
        return sum(map(text.count, "()[]{}⟨⟩")) / len(text) if text else 1.0


class CommonEnglishWordsFilter(DocumentFilter):
    """Keeps documents with at least `min_num_common_words` common English words in lower case."""

    def __init__(self, min_num_common_words: int = 2, stop_at_false: bool = True) -> None:
        self._name = "common_english_words"
        self._least = limit(self, "min_num_common_words", min_num_common_words)
        self._stop = stop_at_false

    def score_document(self, text: str) -> int:
        count = 0
        for word in text.split():
            count += word in _COMMON_ENGLISH
            if self._stop and count >= self._least:
                break
        return count

    def keep_document(self, score: int) -> bool:
        return score >= self._least


class WordsWithoutAlphabetsFilter(DocumentFilter):
    """Keeps documents in which at least this fraction of the words contains a letter."""

    def __init__(self, min_words_with_alphabets: float = 0.8, lang: str = "en") -> None:
        self._name = "words_without_alphabets"
        self._words = WordSplitter(lang)
        self._least = limit(self, "min_words_with_alphabets", min_words_with_alphabets)

    def score_document(self, text: str) -> float:
        words = self._words(text)
        return sum(any(map(str.isalpha, word)) for word in words) / len(words) if words else 0.0

    def keep_document(self, score: float) -> bool:
        return score >= self._least


class SubstringFilter(DocumentFilter):
    """Keeps documents that have a text at their start (`prefix`), their end (`suffix`) or anywhere (`any`)."""

    def __init__(self, substring: str, position: str) -> None:
        if position not in ("prefix", "suffix", "any"):
            raise ValueError(f"position must be prefix, suffix or any, not {position!r}")
        self._name = "substring"
        self._substring, self._position = substring, position

    def score_document(self, text: str) -> int:
        if self._position == "prefix":
            return int(text.startswith(self._substring))
        if self._position == "suffix":
            return int(text.endswith(self._substring))
        return int(self._substring in text)

    def keep_document(self, score: int) -> bool:
        return score == 1
