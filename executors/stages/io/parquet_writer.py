"""Writes Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

from curator_slurm.executors.remarks import leave_out, note
from curator_slurm.executors.stages.arrow_columns import (
    as_table,
    too_deep_rows,
    with_json_text,
    without_empty_structs,
)
from curator_slurm.executors.stages.columns import column_names, keep_rows, values_of, with_column
from curator_slurm.executors.stages.io.pandas_options import keywords
from curator_slurm.executors.stages.io.writer import BaseWriter
from curator_slurm.executors.stages.option_checks import check_choice
from curator_slurm.executors.stages.surrogates import has_lone_surrogate, without_lone_surrogates

_OWN = ("engine", "index", "partition_cols", "json_columns", "lone_surrogates")
"""The `write_kwargs` that are not for Arrow's function."""


@dataclass
class ParquetWriter(BaseWriter):
    """Writes batches as Parquet (Snappy where `compression` in `write_kwargs` does not say otherwise).

    `write_kwargs` are the arguments of `pandas.DataFrame.to_parquet` with the engine `pyarrow`, those of
    `pyarrow.parquet.write_table` among them. Two are its own:
    `json_columns` are names of columns whose values are written as JSON text: the way out for values of several types,
    numbers of more than 64 bits, and objects whose keys differ from row to row.
    `lone_surrogates`: `error` (the default), `replace` (U+FFFD in place of half a surrogate pair) or `drop` (the row
    is left out, and recorded in failures.jsonl).

    A value that its column cannot hold is an error that names row, column and cure; with `on_task_error: skip` it costs
    its row. Objects without keys, which Parquet cannot hold, are written as null where a column has no others.
    """

    file_extension: str = "parquet"
    name: str = "parquet_writer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.write_kwargs.get("engine", "auto") not in ("auto", "pyarrow"):
            raise ValueError("ParquetWriter: engine must be pyarrow")
        if self.write_kwargs.get("index"):
            raise ValueError("ParquetWriter: the index is not written; make it a column")
        if self.write_kwargs.get("partition_cols"):
            raise ValueError("ParquetWriter: partition_cols is not supported: each batch is one file")
        check_choice("ParquetWriter", self.write_kwargs, "lone_surrogates", ("error", "replace", "drop"))
        names = self.write_kwargs.get("json_columns", [])
        self._json_columns = [names] if isinstance(names, str) else list(names)

    def known_write_kwargs(self) -> list[str]:
        import pyarrow.parquet as pq

        of_engine = [name for name in keywords(pq.write_table) if name not in ("where", "filesystem")]
        return [*_OWN, *of_engine]

    def ready_rows(self, data: Any) -> Any:
        """A table that Parquet can hold."""
        data = with_json_text(data, self._json_columns)
        how = self.write_kwargs.get("lone_surrogates", "error")
        if how != "error":
            data = _without_halves(data, how)
        table, emptied = without_empty_structs(_without_deep(as_table(data, _leave_out)))
        for name in emptied:
            note(
                f"column {name!r} has objects without keys, which Parquet cannot hold: they are null in the output "
                f"(write_kwargs={{'json_columns': [{name!r}]}} writes the column as JSON text)"
            )
        return table

    def write_rows(self, data: Any, sink: IO[bytes]) -> None:
        """Write the rows; the same rows give the same bytes."""
        import pyarrow.parquet as pq

        options = {key: value for key, value in self.write_kwargs.items() if key not in ("storage_options", *_OWN)}
        pq.write_table(data, sink, **options)


def _leave_out(column: str, row: int, problem: str) -> None:
    cure = "'json_columns': ['" + column + "']} writes the column as JSON text"
    if "surrogate" in problem:
        cure = "'lone_surrogates': 'replace'} puts U+FFFD there, 'drop' leaves out the row"
    leave_out(ValueError(f"row {row}, column {column!r} cannot be Parquet: {problem}; write_kwargs={{{cure}"))


def _without_deep(table: Any) -> Any:
    """The table without values that no reader of Parquet follows to their end."""
    deep = dict.fromkeys(too_deep_rows(table))
    for column, row in deep:
        _leave_out(column, row, "nested deeper than readers of Parquet follow")
    bad = {row for _, row in deep}
    table = keep_rows(table, [row not in bad for row in range(1, len(table) + 1)])
    for name in {column for column, _ in deep}:  # its type has the depth of the values that are left
        table = with_column(table, name, values_of(table, name))
    return table


def _without_halves(data: Any, how: str) -> Any:
    """The payload without halves of surrogate pairs, which only columns of Python objects have."""
    bad: set[int] = set()
    for name in column_names(data):
        values = values_of(data, name)
        rows = [row for row, value in enumerate(values) if has_lone_surrogate(value)]
        if rows and how == "replace":
            data = with_column(data, name, [without_lone_surrogates(value) for value in values])
        elif rows:
            bad.update(rows)
    for row in sorted(bad):
        error = ValueError(f"row {row + 1}: half of a surrogate pair; lone_surrogates is 'drop'")
        leave_out(error, asked_for=True)
    return keep_rows(data, [row not in bad for row in range(len(data))]) if bad else data
