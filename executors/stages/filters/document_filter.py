"""Base classes of the objects for `Score`, `ScoreFilter` and `Modify`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import Any


class DocumentFilter(ABC):
    """Scores a document, and decides by the score whether to keep it. `name` stands for it in statistics.

    `load_model` and `load_tokenizer`, where a subclass has them, are called once per worker, and
    `model_check_or_download` once per node. Whoever calls a filter may set `sentences`, `paragraphs` or `ngrams` of the
    next document before scoring it; None, the default, leaves it to the filter to split the text.
    """

    _sentences: list[str] | None = None
    _paragraphs: list[str] | None = None
    _ngrams: Any = None

    def __init__(self) -> None:
        self._name = type(self).__name__

    @property
    def name(self) -> str:
        return self._name

    @property
    def sentences(self) -> list[str] | None:
        return self._sentences

    @sentences.setter
    def sentences(self, sentences: list[str] | None) -> None:
        self._sentences = sentences

    @property
    def paragraphs(self) -> list[str] | None:
        return self._paragraphs

    @paragraphs.setter
    def paragraphs(self, paragraphs: list[str] | None) -> None:
        self._paragraphs = paragraphs

    @property
    def ngrams(self) -> Any:
        return self._ngrams

    @ngrams.setter
    def ngrams(self, ngrams: Any) -> None:
        self._ngrams = ngrams

    @abstractmethod
    def score_document(self, text: str) -> Any:
        """The score of a text."""

    @abstractmethod
    def keep_document(self, scores: Any) -> bool:
        """Whether a document with this score is kept."""


def limit(owner: object, name: str, value: float) -> float:
    """A limit of a filter: a number, so that a mistake is told when the filter is made and not by its first document.

    Raises:
        ValueError: it is something else, such as a number in quotes.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:
        raise ValueError(f"{type(owner).__name__}: {name} must be a number, not {value!r}")
    return value


def limits(owner: object, least: tuple[str, float], most: tuple[str, float]) -> tuple[float, float]:
    """The lower and upper limit of a filter, each with its name.

    Raises:
        ValueError: one is no number, or no document could be between them.
    """
    low, high = limit(owner, *least), limit(owner, *most)
    if low > high:
        raise ValueError(
            f"{type(owner).__name__}: {least[0]}={low} is above {most[0]}={high}: no document would be kept"
        )
    return low, high


class RatioFilter(DocumentFilter):
    """Keeps documents whose ratio of something is at most a limit; an empty document has the ratio 1."""

    def __init__(self, name: str, most: float) -> None:
        self._name = name
        self._most = limit(self, "its limit", most)

    def keep_document(self, score: float) -> bool:
        return score <= self._most


class DocumentModifier(ABC):
    """Changes a value of a document; with several input fields it gets them as keyword arguments."""

    def __init__(self) -> None:
        self._name = type(self).__name__

    @property
    def name(self) -> str:
        return self._name

    @abstractmethod
    def modify_document(self, *args: Any, **kwargs: Any) -> Any:
        """The new value."""
