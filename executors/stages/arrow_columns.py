"""Columns of Python values as Arrow columns that Parquet can hold; what it cannot hold is found row by row.

Writers use this: within a pipeline such columns stay Python objects (`columns`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curator_slurm.common.merged_schemas import NoCommonTypeError, merged_type
from curator_slurm.executors.stages.columns import arrow_array, column_names, keep_rows, values_of, with_column
from curator_slurm.executors.stages.surrogates import has_lone_surrogate

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT_IN_DOUBLE = 2**53
_LONGEST_SHOWN = 40
_MOST_LEVELS = 98
"""How deep Parquet's readers follow a column: an object is one level, a list two."""


def as_table(data: Any, on_unfit: Callable[[str, int, str], None]) -> pa.Table:
    """The payload as a table without pandas' metadata.

    `on_unfit(column, row, problem)` is called for each value that its column cannot hold beside the others; if it does
    not raise, the row (counted from 1) is left out.

    Raises:
        ValueError: a column cannot be converted, whatever its rows; it names the column.
    """
    import pyarrow as pa

    if not isinstance(data, pa.Table):
        try:
            data = pa.Table.from_pandas(data, preserve_index=False)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            return as_table(_with_fitting_rows(data, on_unfit, error), on_unfit)
    metadata = {key: value for key, value in (data.schema.metadata or {}).items() if key != b"pandas"}
    return data.replace_schema_metadata(metadata or None)


def _with_fitting_rows(data: Any, on_unfit: Callable[[str, int, str], None], error: Exception) -> Any:
    """The rows of a frame whose values fit, in columns of Arrow's types where these hold them."""
    bad: set[int] = set()
    converted = False
    failing = list(_failing_columns(data))
    for name in failing:
        values = values_of(data, name)
        if arrow_array(values) is not None:
            data, converted = with_column(data, name, values), True
            continue
        for row, problem in unfit_rows(values).items():
            if row not in bad:
                on_unfit(name, row + 1, problem)
                bad.add(row)
    if not bad and not converted:
        where = f"column {failing[0]!r}" if failing else "a column"
        raise ValueError(f"{where} cannot be converted to Arrow: {error}") from error
    return keep_rows(data, [row not in bad for row in range(len(data))])


def _failing_columns(data: Any) -> Iterator[str]:
    import pyarrow as pa

    for name in data.columns:
        try:
            pa.array(data[name], from_pandas=True)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            yield name


def unfit_rows(values: Sequence[Any]) -> dict[int, str]:
    """Row -> what is wrong with its value, for those that a column with the other values cannot hold.

    Of two kinds of values the first one counts, and a value must fit what the others make of its kind.
    """
    import pyarrow as pa

    found: dict[int, str] = {}
    has_negative = any(type(value) is int and value < 0 for value in values)
    has_fraction = any(type(value) is float for value in values)
    kind = pa.null()
    for row, value in enumerate(values):
        if value is None:
            continue
        if has_lone_surrogate(value):
            found[row] = f"half of a surrogate pair in {_shown(value)}"
            continue
        try:
            is_unsigned = type(value) is int and value > 2**63 - 1 and not has_negative and not has_fraction
            own = pa.array([value], pa.uint64() if is_unsigned else None, from_pandas=True).type
            kind = merged_type(kind, own)
        except OverflowError:
            found[row] = f"{_too_large(value)} in {_shown(value)}"
        except NoCommonTypeError as error:
            place = f", at {error.path}" if error.path else ""
            found[row] = f"{_shown(value)} is {error.other} and a row before is {error.one}{place}"
        except pa.ArrowException as error:
            found[row] = f"{_shown(value)}: {error}"
        else:
            if has_fraction and type(value) is int and abs(value) > _EXACT_IN_DOUBLE:
                found[row] = f"{value} would be rounded beside numbers with fractions"
    for row, value in enumerate(values):
        if row not in found and isinstance(value, (dict, list, tuple)):
            try:
                pa.array([value], kind, from_pandas=True)
            except (pa.ArrowException, OverflowError) as error:
                found[row] = f"{_shown(value)}, beside values of other rows: {error}"
    return found


def _too_large(value: Any) -> str:
    """What is wrong with a number in the value."""
    if max(map(abs, _numbers(value)), default=0) < 2**64:
        return "a number above 2^63 - 1 (64 bits hold it beside whole numbers from 0 on, not in lists and objects)"
    return "a number of more than 64 bits"


def _numbers(value: Any) -> Iterator[int]:
    if type(value) is int:
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _numbers(item)


def too_deep_rows(table: pa.Table) -> Iterator[tuple[str, int]]:
    """Column and row (counted from 1) of each value that is nested deeper than what reads Parquet follows."""
    for field in table.schema:
        if _levels_of_type(field.type) > _MOST_LEVELS:
            for row, value in enumerate(table.column(field.name).to_pylist(), 1):
                if _levels(value) > _MOST_LEVELS:
                    yield field.name, row


def _levels_of_type(kind: pa.DataType) -> int:
    import pyarrow.types as kinds

    inner = max((_levels_of_type(kind.field(number).type) for number in range(kind.num_fields)), default=0)
    return inner + (1 if kinds.is_struct(kind) else 2 if kind.num_fields else 0)


def _levels(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_levels, value.values()), default=0)
    return 2 + max(map(_levels, value), default=0) if isinstance(value, (list, tuple)) else 0


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def with_json_text(data: Any, names: Sequence[str]) -> Any:
    """The payload with each value of these columns as JSON text; null stays null. Columns that it lacks are ignored."""
    for name in names:
        if name in column_names(data):
            texts = [None if value is None else json.dumps(value, default=str) for value in values_of(data, name)]
            data = with_column(data, name, texts)
    return data


def without_empty_structs(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """The table with nulls in place of objects without keys, where a column has no others, and the names of columns.

    Parquet cannot hold them.
    """
    import pyarrow as pa

    changed = []
    for position, field in enumerate(table.schema):
        kind = _without_empty(field.type)
        if kind != field.type:
            values = [_emptied(value, field.type) for value in table.column(position).to_pylist()]
            table = table.set_column(position, field.name, pa.array(values, kind))
            changed.append(field.name)
    return table, changed


def _without_empty(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_struct(kind):
        if kind.num_fields == 0:
            return pa.null()
        return pa.struct([field.with_type(_without_empty(field.type)) for field in kind])
    if kinds.is_list(kind):
        return pa.list_(kind.value_field.with_type(_without_empty(kind.value_type)))
    if kinds.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_without_empty(kind.value_type)))
    return kind


def _emptied(value: Any, kind: pa.DataType) -> Any:
    """The value with None where its type has no fields."""
    import pyarrow.types as kinds

    if value is None:
        return None
    if kinds.is_struct(kind):
        return {field.name: _emptied(value[field.name], field.type) for field in kind} or None
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return [_emptied(item, kind.value_type) for item in value]
    return value
