"""Columns of a DocumentBatch, whose payload is an Arrow table or a pandas frame; values go in and out unchanged.

Arrow types are used where they hold every value as it is: text, booleans, signed or unsigned 64-bit integers (with
nulls) and numbers. Everything else (nested values, mixed types) stays a column of Python objects.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.tasks import DocumentBatch

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_EXACT_IN_DOUBLE = 2**53
_MAX_INT64 = 2**63 - 1
LARGE_TEXT_BYTES = 2**30
"""Columns of more text have 64-bit offsets: with 32 bits, rows could not be taken from more than 2 GiB."""


def arrow_array(values: Sequence[Any]) -> pa.Array | None:
    """The values as an Arrow array, or None where none would hold them unchanged."""
    import pyarrow as pa

    kinds = set(map(type, values))
    kinds.discard(type(None))
    try:
        if not kinds:
            return pa.nulls(len(values))
        if kinds == {str}:
            return _text(values)
        if kinds == {bool}:
            return pa.array(values, pa.bool_())
        if kinds == {int}:
            is_unsigned = max(value for value in values if value is not None) > _MAX_INT64
            return pa.array(values, pa.uint64() if is_unsigned else pa.int64())
        if kinds == {float} or (
            kinds == {int, float} and all(abs(v) <= _EXACT_IN_DOUBLE for v in values if type(v) is int)
        ):
            return pa.array(values, pa.float64(), from_pandas=False)
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        return None  # an integer over 64 bits, or text with a lone surrogate
    return None


def _text(values: Sequence[str | None]) -> pa.Array:
    import pyarrow as pa

    is_large = sum(len(value) for value in values if value is not None) > LARGE_TEXT_BYTES // 4
    array = pa.array(values, pa.large_string() if is_large else pa.string())
    return array.cast(pa.string()) if is_large and array.nbytes <= LARGE_TEXT_BYTES else array


def series(values: Sequence[Any]) -> pd.Series:
    """The values as a column of a frame."""
    import pandas as pd

    array = arrow_array(values)
    if array is not None:
        return pd.Series(pd.arrays.ArrowExtensionArray(array))
    return pd.Series(list(values), dtype=object)


def frame(columns: Mapping[str, Sequence[Any]], rows: int) -> pd.DataFrame:
    """A frame of columns of equal length."""
    import pandas as pd

    if not columns:
        return pd.DataFrame(index=pd.RangeIndex(rows))
    return pd.DataFrame({name: series(values) for name, values in columns.items()}, copy=False)


def frame_of_table(table: pa.Table) -> pd.DataFrame:
    """A frame over the memory of a table, with its types; columns of much text get 64-bit offsets."""
    import pandas as pd
    import pyarrow as pa

    for position, field in enumerate(table.schema):
        large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}.get(field.type)
        if large is not None and table.column(position).nbytes > LARGE_TEXT_BYTES:
            table = table.set_column(position, field.name, table.column(position).cast(large))
    return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)


def column_names(data: Any) -> list[str]:
    """Names of the columns, in order."""
    names = getattr(data, "column_names", None)
    return list(names if names is not None else data.columns)


def values_of(data: Any, name: str) -> list[Any]:
    """One column as Python values, None for a null.

    Raises:
        ValueError: there is no such column.
    """
    try:
        column = data.column(name) if hasattr(data, "column_names") else data[name]
    except KeyError:
        require(data, [name])
        raise
    if hasattr(data, "column_names"):
        return list(column.to_pylist())
    if hasattr(column.array, "__arrow_array__"):
        return list(column.array.__arrow_array__().to_pylist())
    return list(column.tolist())


def require(data: Any, names: Iterable[str]) -> None:
    """Raise ValueError where a column is missing, saying which there are."""
    have = column_names(data)
    missing = [name for name in names if name not in have]
    if missing:
        raise ValueError(f"column {', '.join(map(repr, missing))} not found; the batch has {have or 'no columns'}")


def select(data: Any, names: Sequence[str]) -> Any:
    """The payload with these columns only."""
    require(data, names)
    return data.select(list(names)) if hasattr(data, "column_names") else data[list(names)]


def with_column(data: Any, name: str, values: Sequence[Any]) -> Any:
    """The payload with a column set or added; the one given stays as it is."""
    if not hasattr(data, "column_names"):
        changed = data.copy(deep=False)
        column = series(values)
        column.index = changed.index
        changed[name] = column
        return changed
    import pyarrow as pa

    array = arrow_array(values)
    if array is None:
        array = pa.array(values)
    if name in data.column_names:
        return data.set_column(data.column_names.index(name), name, array)
    return data.append_column(name, array)


def keep_rows(data: Any, keep: Sequence[bool]) -> Any:
    """The rows whose flag is set."""
    if all(keep):
        return data
    if hasattr(data, "column_names"):
        import pyarrow as pa

        return data.filter(pa.array(keep, pa.bool_()))
    import numpy as np

    return data[np.asarray(keep, dtype=bool)].reset_index(drop=True)


def with_data(batch: DocumentBatch, data: Any, **metadata: Any) -> DocumentBatch:
    """A batch like the one given, with another payload and more metadata."""
    changed = copy.copy(batch)
    changed.data = data
    changed._metadata = {**batch._metadata, **metadata}
    return changed
