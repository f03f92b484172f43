"""Map and filter stages over the documents of a batch, made of functions.

A function is a callable, or `module:function` so that a YAML spec can name it; `kwargs` are handed to every call.
"""

from __future__ import annotations

import copy
import functools
import importlib
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from curator_slurm.executors.resources import Resources
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.tasks import DocumentBatch


def load_function(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """The function itself, or the one that `module:function` names.

    Raises:
        ValueError: the text has another form, or what it names is no function.
    """
    if callable(function):
        return function
    module, _, path = function.partition(":")
    if not module or not path:
        raise ValueError(f"{function!r} is not a function; write it as module:function")
    try:
        found = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{function!r} cannot be imported: {error}") from error
    if not callable(found):
        raise ValueError(f"{function!r} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return, unused-ignore]


@dataclass
class _DocumentStage(ProcessingStage[DocumentBatch, DocumentBatch]):
    """A batch that has no document left is filtered."""

    function: Callable[..., Any] | str
    kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    resources: Resources = field(default_factory=Resources)
    batch_size: int | None = 1

    def __post_init__(self) -> None:
        if not callable(self.function) and ":" not in str(self.function):
            raise ValueError(f"{self.function!r} is not a function; write it as module:function")
        if not self.name:
            label = getattr(self.function, "__name__", None) or str(self.function).rpartition(":")[2]
            self.name = f"{type(self).__name__}({label})"
        self._loaded: Callable[..., Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        if self._loaded is None:
            loaded = load_function(self.function)
            self._loaded = functools.partial(loaded, **self.kwargs) if self.kwargs else loaded
        data = self.apply(self._loaded, task.to_pandas())
        if not len(data):
            return None
        changed = copy.copy(task)
        changed.data = data
        changed._metadata = dict(task._metadata)
        return changed

    @abstractmethod
    def apply(self, function: Callable[..., Any], frame: pd.DataFrame) -> pd.DataFrame:
        """The documents that come out."""


@dataclass
class MapDocuments(_DocumentStage):
    """`function(document: dict) -> dict`; None drops the document."""

    def apply(self, function: Callable[..., Any], frame: pd.DataFrame) -> pd.DataFrame:
        records = [result for record in frame.to_dict("records") if (result := function(record)) is not None]
        for result in records:
            if not isinstance(result, dict):
                raise TypeError(f"{self.name}: the function returned {type(result).__name__}; a document is a dict")
        return pd.DataFrame.from_records(records)


@dataclass
class MapBatches(_DocumentStage):
    """`function(frame: DataFrame) -> DataFrame`, the whole batch at once; it may add, drop and reorder rows."""

    def apply(self, function: Callable[..., Any], frame: pd.DataFrame) -> pd.DataFrame:
        result = function(frame)
        if not isinstance(result, pd.DataFrame):
            raise TypeError(f"{self.name}: the function returned {type(result).__name__}, not a DataFrame")
        return result


@dataclass
class FilterDocuments(_DocumentStage):
    """`function(document: dict) -> bool`: whether the document stays.

    With `filter_field`, the function gets the value of that column in place of the document.
    """

    filter_field: str | None = None

    def apply(self, function: Callable[..., Any], frame: pd.DataFrame) -> pd.DataFrame:
        documents = frame.to_dict("records") if self.filter_field is None else frame[self.filter_field]
        keep = [bool(function(document)) for document in documents]
        return frame[pd.Series(keep, index=frame.index, dtype=bool)].reset_index(drop=True)


@dataclass
class FilterBatches(_DocumentStage):
    """`function(frame: DataFrame) -> one bool per row`: which documents stay."""

    def apply(self, function: Callable[..., Any], frame: pd.DataFrame) -> pd.DataFrame:
        keep = pd.Series(function(frame))
        if len(keep) != len(frame):
            raise ValueError(f"{self.name}: the function gave {len(keep)} values for {len(frame)} documents")
        return frame[keep.astype(bool).to_numpy()].reset_index(drop=True)
