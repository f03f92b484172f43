"""Map and filter with functions of whole documents or of whole batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.callables import name_of, resolve
from curator_slurm.executors.stages.columns import column_names, frame, require, select, values_of, with_data
from curator_slurm.executors.stages.statistics import drop_rows
from curator_slurm.executors.tasks import DocumentBatch

PER = ("document", "batch")


@dataclass
class MapStage(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Replaces documents by the results of a function.

    Per document, `function` gets a dictionary and returns a dictionary, a list of them, or None to drop it. Per
    batch, it gets the payload (`as_type`: pandas, or an Arrow table) and returns one. `columns` limits what it gets.
    `function` may be given as `module:name`, or `{use: module:Class, with: {...}}` for an object that is callable.
    """

    function: Any
    per: str = "document"
    columns: list[str] | None = None
    as_type: str = "pandas"
    name: str = "map"

    def __post_init__(self) -> None:
        self._call = _function(self.function)
        _check_per(self.per)
        if self.as_type not in ("pandas", "arrow"):
            raise ValueError(f"as_type must be pandas or arrow, not {self.as_type!r}")
        if self.name == "map":
            self.name = f"map_{name_of(self._call)}"

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(self.columns or [])

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        """The batch with new documents.

        Raises:
            TypeError: the function returned a value of another type.
        """
        data = select(task.data, self.columns) if self.columns is not None else task.data
        if self.per == "batch":
            batch = with_data(task, data)
            result = self._call(batch.to_pandas() if self.as_type == "pandas" else batch.to_pyarrow())
            if not hasattr(result, "columns"):
                raise TypeError(f"{self.name} returned a {type(result).__name__}, not a frame or table")
            return with_data(task, result)
        made: list[Mapping[str, Any]] = []
        for document in documents(data):
            result = self._call(document)
            results = result if isinstance(result, (list, tuple)) else [] if result is None else [result]
            for new in results:
                if not isinstance(new, Mapping):
                    raise TypeError(f"{self.name} returned a {type(new).__name__}, not a dictionary")
                made.append(new)
        names = dict.fromkeys(key for document in made for key in document) or dict.fromkeys(column_names(data))
        columns = {name: [document.get(name) for document in made] for name in names}
        return with_data(task, frame(columns, len(made)))


@dataclass
class FilterStage(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Keeps the documents for which a function returns true.

    Per document, `function` gets a dictionary (of `columns` alone, where given) and returns whether to keep it. Per
    batch, it gets a pandas frame and returns a flag for each row. Dropped documents are counted under its name.
    `function` may be given as `module:name`.
    """

    function: Any
    per: str = "document"
    columns: list[str] | None = None
    invert: bool = False
    name: str = "filter"

    def __post_init__(self) -> None:
        self._call = _function(self.function)
        _check_per(self.per)
        if self.name == "filter":
            self.name = f"filter_{name_of(self._call)}"

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(self.columns or [])

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def process(self, task: DocumentBatch) -> DocumentBatch | None:
        """The batch without the documents that are not kept.

        Raises:
            ValueError: the function did not return a flag for each row.
        """
        data = select(task.data, self.columns) if self.columns is not None else task.data
        flags: Sequence[Any]
        if self.per == "batch":
            flags = list(self._call(with_data(task, data).to_pandas()))
        else:
            flags = [self._call(document) for document in documents(data)]
        if len(flags) != task.num_items:
            raise ValueError(
                f"{self.name} returned {several(len(flags), 'flag')} for {several(task.num_items, 'document')}"
            )
        return drop_rows(task, [bool(flag) is not self.invert for flag in flags], name_of(self._call))


def documents(data: Any) -> list[dict[str, Any]]:
    """The rows of a payload as dictionaries."""
    names = column_names(data)
    require(data, names)
    columns = [values_of(data, name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _function(given: Any) -> Any:
    function = resolve(given)
    if not callable(function):
        raise TypeError(f"{given!r} is not a function")
    return function


def _check_per(per: str) -> None:
    if per not in PER:
        raise ValueError(f"per must be document or batch, not {per!r}")
