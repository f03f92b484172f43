"""Base classes of the objects for `Score`, `ScoreFilter` and `Modify`."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


class RatioFilter(DocumentFilter):
    """Keeps documents whose ratio of something is at most a limit; an empty document has the ratio 1."""

    def __init__(self, name: str, most: float) -> None:
        self._name = name
        self._most = most

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
