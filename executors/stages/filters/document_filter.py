"""The two shapes that objects for `Score`, `ScoreFilter` and `Modify` have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class DocumentFilter(ABC):
    """Scores a document, and says by the score whether to keep it. `name` is what it is called in statistics.

    `load_model` and `load_tokenizer`, where a subclass has them, are called once per worker, and
    `model_check_or_download` once per node.
    """

    def __init__(self) -> None:
        self._name = type(self).__name__

    @property
    def name(self) -> str:
        return self._name

    @abstractmethod
    def score_document(self, text: str) -> Any:
        """The score of a text."""

    @abstractmethod
    def keep_document(self, score: Any) -> bool:
        """Whether a document with this score is kept."""


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
