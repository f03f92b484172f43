"""Stages that score documents, drop some, or both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.callables import as_list, name_of, one_each
from curator_slurm.executors.stages.columns import keep_rows, values_of, with_column, with_data
from curator_slurm.executors.stages.not_text import results_of
from curator_slurm.executors.stages.statistics import drop_rows
from curator_slurm.executors.tasks import DocumentBatch

log = logging.getLogger(__name__)

Given = Any
"""Function, object with `score_document` or `keep_document`, `module:name`, `{use:, with:}`, or a list of them."""


class _FunctionStage(ProcessingStage[DocumentBatch, DocumentBatch]):
    """What the three have in common: they load the models of the objects they are given."""

    verbose: bool = False
    _functions: list[Any]

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:  # noqa: ARG002
        for function in self._functions:
            if hasattr(function, "model_check_or_download"):
                function.model_check_or_download()

    def setup(self, worker_metadata: Any = None) -> None:  # noqa: ARG002
        for function in self._functions:
            for load in ("load_model", "load_tokenizer"):
                if hasattr(function, load):
                    getattr(function, load)()

    def ray_stage_spec(self) -> dict[str, Any]:
        loads = any(hasattr(f, "load_model") or hasattr(f, "load_tokenizer") for f in self._functions)
        return {**super().ray_stage_spec(), "is_actor_stage": loads}

    def _report(self, batch: DocumentBatch, before: int) -> None:
        """Log how many rows of a batch are left, where `verbose` asks for it."""
        if self.verbose and before:
            log.info("%s: batch %s: %d of %d rows kept", self.name, batch.task_id, batch.num_items, before)

    def _named_after(self, kind: str) -> str:
        names = [name_of(function) for function in self._functions]
        return names[0] if len(names) == 1 else f"{kind}_chain_of_{'_'.join(names)}"


@dataclass
class Score(_FunctionStage):
    """Adds scores as columns; drops nothing. Several functions run one after the other.

    `score_fn` gets the value of `text_field`; of an object, `score_document` is used.
    """

    score_fn: Given
    score_field: str | list[str]
    text_field: str | list[str] = "text"
    name: str = "score_fn"

    def __post_init__(self) -> None:
        self._functions = as_list(self.score_fn)
        self._scorers = [method_of(function, "score_document") for function in self._functions]
        self._text_fields = one_each("text_field", self.text_field, len(self._functions))
        given = self.score_field if isinstance(self.score_field, list) else [self.score_field]
        if len(given) != len(self._functions) or len(set(given)) != len(given):
            raise ValueError("score_field must name a different column for each function")
        self._score_fields = given
        if self.name == "score_fn":
            self.name = self._named_after("score")

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], needed(self._text_fields, self._score_fields)

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(dict.fromkeys([*self._text_fields, *self._score_fields]))

    def process(self, batch: DocumentBatch) -> DocumentBatch | None:
        data = batch.data
        for score, source, target in zip(self._scorers, self._text_fields, self._score_fields, strict=True):
            scores, stays = results_of(score, values_of(data, source), source, batch)
            data = with_column(keep_rows(data, stays), target, scores)
        return with_data(batch, data)


@dataclass
class Filter(_FunctionStage):
    """Drops documents by the value of a field; several functions run one after the other.

    `filter_fn` gets the value of `filter_field` and returns whether to keep the document; of an object, `keep_document`
    is used. `invert` keeps the documents that would be dropped, and vice versa.
    """

    filter_fn: Given
    filter_field: str | list[str]
    invert: bool | list[bool] = False
    name: str = "filter_fn"
    verbose: bool = False

    def __post_init__(self) -> None:
        self._functions = as_list(self.filter_fn)
        self._keepers = [method_of(function, "keep_document") for function in self._functions]
        self._fields = one_each("filter_field", self.filter_field, len(self._functions))
        self._inverts = one_each("invert", self.invert, len(self._functions))
        if self.name == "filter_fn":
            self.name = self._named_after("filter")

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(dict.fromkeys(self._fields))

    def outputs(self) -> tuple[list[str], list[str]]:
        return self.inputs()

    def process(self, batch: DocumentBatch) -> DocumentBatch | None:
        before = batch.num_items
        for function, keep, source, invert in zip(
            self._functions, self._keepers, self._fields, self._inverts, strict=True
        ):
            values = values_of(batch.data, source)
            flags = [bool(keep(value)) is not invert for value in values]
            batch = drop_rows(batch, flags, name_of(function), values)
        self._report(batch, before)
        return batch


@dataclass
class ScoreFilter(_FunctionStage):
    """Scores documents and drops those whose score is out of range; several objects run one after the other.

    A document that an object drops is not scored by the next. Scores are kept where `score_field` names a column.
    Documents that an object drops are counted under its name (see `summarize`). A null counts as empty text.
    """

    filter_obj: Given
    text_field: str | list[str] = "text"
    score_field: str | list[str] | list[str | None] | None = None
    invert: bool | list[bool] = False
    name: str = "score_filter"
    verbose: bool = False

    def __post_init__(self) -> None:
        self._functions = as_list(self.filter_obj)
        for function in self._functions:
            if not hasattr(function, "score_document") or not hasattr(function, "keep_document"):
                raise TypeError(
                    f"filter_obj: {function!r} must have score_document and keep_document, as DocumentFilter; "
                    "Score and Filter take plain functions"
                )
        count = len(self._functions)
        self._text_fields = one_each("text_field", self.text_field, count)
        self._inverts = one_each("invert", self.invert, count)
        self._score_fields = one_each("score_field", self.score_field, count)
        columns = [name for name in self._score_fields if name is not None]
        if len(set(columns)) < len(columns):
            raise ValueError("score_field must name a different column for each filter, or None")
        if self.name == "score_filter":
            self.name = self._named_after("score_filter")

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], needed(self._text_fields, self._score_fields)

    def outputs(self) -> tuple[list[str], list[str]]:
        columns = [*self._text_fields, *(name for name in self._score_fields if name is not None)]
        return ["data"], list(dict.fromkeys(columns))

    def process(self, batch: DocumentBatch) -> DocumentBatch | None:
        before = batch.num_items
        for function, source, target, invert in zip(
            self._functions, self._text_fields, self._score_fields, self._inverts, strict=True
        ):
            scores, stays = results_of(function.score_document, texts_of(batch.data, source), source, batch)
            data = keep_rows(batch.data, stays)
            batch = with_data(batch, data if target is None else with_column(data, target, scores))
            keep = [bool(function.keep_document(score)) is not invert for score in scores]
            batch = drop_rows(batch, keep, name_of(function), scores)
        self._report(batch, before)
        return batch


def texts_of(data: Any, name: str) -> list[Any]:
    """A column with empty text in place of nulls."""
    return ["" if value is None or value != value else value for value in values_of(data, name)]


def method_of(thing: Any, method: str) -> Callable[[Any], Any]:
    """The method of that name, or the thing itself where it is a function.

    Raises:
        TypeError: it is neither.
    """
    found: Callable[[Any], Any] = getattr(thing, method, thing)
    if not callable(found):
        raise TypeError(f"{thing!r} is not a function and has no {method}")
    return found


def needed(sources: Sequence[str], targets: Sequence[str | None]) -> list[str]:
    """Source columns that must be there from the start: not those that an earlier function of the chain adds."""
    made: set[str | None] = set()
    found: dict[str, None] = {}
    for source, target in zip(sources, targets, strict=True):
        if source not in made:
            found[source] = None
        made.add(target)
    return list(found)
