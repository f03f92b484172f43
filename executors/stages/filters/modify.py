"""Stages that change documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from curator_slurm.executors.stage import ProcessingStage
from curator_slurm.executors.stages.callables import as_list, name_of, one_each
from curator_slurm.executors.stages.columns import column_names, keep_rows, values_of, with_column, with_data
from curator_slurm.executors.stages.filters.score_filter import method_of, needed
from curator_slurm.executors.stages.not_text import results_of
from curator_slurm.executors.tasks import DocumentBatch


@dataclass
class Modify(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Computes columns from columns; several functions run one after the other.

    `modifier_fn` gets the value of its input field, or with several input fields (a list of lists) their values as
    keyword arguments; of an object, `modify_document` is used. The result goes to `output_fields`, by default to the
    one input field. Functions may be given as `module:name`.
    """

    modifier_fn: Any
    input_fields: str | list[str] | list[list[str]] = "text"
    output_fields: str | list[str | None] | None = None
    name: str = "modifier_fn"

    def __post_init__(self) -> None:
        self._functions = as_list(self.modifier_fn)
        self._modifiers = [method_of(function, "modify_document") for function in self._functions]
        count = len(self._functions)
        inputs = one_each("input_fields", self.input_fields, count)
        self._inputs = [[fields] if isinstance(fields, str) else list(fields) for fields in inputs]
        if not all(self._inputs):
            raise ValueError("input_fields must name at least one field for each function")
        outputs = one_each("output_fields", self.output_fields, count)
        for index, (sources, target) in enumerate(zip(self._inputs, outputs, strict=True)):
            if target is None:
                if len(sources) > 1:
                    raise ValueError("output_fields must be given for a function of several input fields")
                outputs[index] = sources[0]
        self._outputs: list[str] = outputs
        if self.name == "modifier_fn":
            names = [name_of(function) for function in self._functions]
            self.name = names[0] if count == 1 else f"modifier_chain_of_{'_'.join(names)}"

    def inputs(self) -> tuple[list[str], list[str]]:
        pairs = [(source, out) for fields, out in zip(self._inputs, self._outputs, strict=True) for source in fields]
        return ["data"], needed([source for source, _ in pairs], [out for _, out in pairs])

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], list(dict.fromkeys(self._outputs))

    def process(self, batch: DocumentBatch) -> DocumentBatch | None:
        data = batch.data
        for modify, sources, target in zip(self._modifiers, self._inputs, self._outputs, strict=True):
            columns = [values_of(data, source) for source in sources]
            if len(sources) == 1:
                values, stays = results_of(modify, columns[0], sources[0], batch)
                data = keep_rows(data, stays)
            else:
                rows = zip(*columns, strict=True)
                keyword: Any = modify
                values = [keyword(**dict(zip(sources, row, strict=True))) for row in rows]
            data = with_column(data, target, values)
        return with_data(batch, data)


@dataclass
class AddId(ProcessingStage[DocumentBatch, DocumentBatch]):
    """Adds a column of ids, `[<prefix>_]<task id>_<row>`: unique in the dataset, and the same in every run."""

    id_field: str
    id_prefix: str | None = None
    overwrite: bool = False
    name: str = "add_id"

    def inputs(self) -> tuple[list[str], list[str]]:
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        return ["data"], [self.id_field]

    def process(self, batch: DocumentBatch) -> DocumentBatch | None:
        """The batch with ids.

        Raises:
            ValueError: the column exists already, and `overwrite` is not set.
        """
        if self.id_field in column_names(batch.data) and not self.overwrite:
            raise ValueError(f"column {self.id_field!r} already exists; set overwrite=True to replace it")
        start = f"{self.id_prefix}_{batch.task_id}" if self.id_prefix else batch.task_id
        ids = [f"{start}_{row}" for row in range(batch.num_items)]
        return with_data(batch, with_column(batch.data, self.id_field, ids))
