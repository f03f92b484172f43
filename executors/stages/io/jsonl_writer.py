"""Writes JSON lines."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from curator_slurm.executors.remarks import leave_out
from curator_slurm.executors.stages.columns import column_names, values_of
from curator_slurm.executors.stages.io.compression import COMPRESSIONS, compressed, split_compression
from curator_slurm.executors.stages.io.pandas_options import keywords
from curator_slurm.executors.stages.io.writer import BaseWriter

_LINES_AT_ONCE = 1000
_OWN = frozenset({"storage_options", "compression", "force_ascii", "lines", "orient"})
"""The `write_kwargs` that need no pandas."""


@dataclass
class JsonlWriter(BaseWriter):
    """Writes batches as JSONL: one object in each line, UTF-8, keys in the order of the columns.

    Nulls are written as null, and so are NaN and infinities, which JSON does not have; dates and times in ISO 8601,
    decimals as text, bytes in base64. Compressed by the extension (`jsonl.gz`, `.zst`, `.bz2`, `.xz`) or by
    `compression` in `write_kwargs`, which adds the suffix. `force_ascii: true` escapes everything else. The other
    `write_kwargs` are those of `pandas.DataFrame.to_json`; where one is given, pandas writes the rows in its own way.
    """

    file_extension: str = "jsonl"
    name: str = "jsonl_writer"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.write_kwargs.get("lines", True) is not True or self.write_kwargs.get("orient", "records") != "records":
            raise ValueError("JsonlWriter writes one record per line: lines and orient cannot be changed")
        by_name = split_compression(self.file_extension)[1]
        asked = self.write_kwargs.get("compression", "infer")
        if asked not in ("infer", None, *COMPRESSIONS):
            raise ValueError(f"JsonlWriter: compression must be {', '.join(COMPRESSIONS)}, None or 'infer'")
        if asked != "infer" and by_name is not None and asked != by_name:
            raise ValueError(f"JsonlWriter: the extension {self.file_extension} contradicts compression={asked!r}")
        if asked in COMPRESSIONS and by_name is None:
            self.file_extension += COMPRESSIONS[asked]

    def known_write_kwargs(self) -> list[str]:
        import pandas as pd

        return [name for name in keywords(pd.DataFrame.to_json) if name not in ("path_or_buf", "mode")]

    def write_rows(self, data: Any, sink: IO[bytes]) -> None:
        """Write the rows; the same rows give the same bytes."""
        by_pandas = {key: value for key, value in self.write_kwargs.items() if key not in _OWN}
        if by_pandas:
            with compressed(sink, split_compression(self.file_extension)[1]) as stream:
                frame = data if hasattr(data, "to_json") else data.to_pandas()
                ascii = bool(self.write_kwargs.get("force_ascii"))
                frame.to_json(stream, orient="records", lines=True, force_ascii=ascii, **by_pandas)
            return
        names = column_names(data)
        encoder = json.JSONEncoder(
            ensure_ascii=bool(self.write_kwargs.get("force_ascii")), allow_nan=False, default=_plain
        )
        escaping = json.JSONEncoder(ensure_ascii=True, allow_nan=False, default=_plain)
        columns = [_values(data, name) for name in names]
        lines: list[bytes] = []
        number = 0
        with compressed(sink, split_compression(self.file_extension)[1]) as stream:
            for values in zip(*columns, strict=True):
                number += 1
                row = dict(zip(names, values, strict=True))
                try:
                    lines.append(_line(row, encoder, escaping))
                except TypeError as error:
                    leave_out(ValueError(f"row {number}: {error}"))
                if len(lines) >= _LINES_AT_ONCE:
                    stream.write(b"\n".join(lines) + b"\n")
                    lines.clear()
            if lines:
                stream.write(b"\n".join(lines) + b"\n")


class _Unheld:
    """A value that Python does not hold, such as a time behind the year 9999; no line can be made of it."""

    def __init__(self, column: str, error: Exception) -> None:
        self.what = f"column {column!r} has a time that cannot be written, before the year 1 or behind 9999: {error}"


def _values(data: Any, name: str) -> list[Any]:
    try:
        return values_of(data, name)
    except (OverflowError, ValueError):
        column = data.column(name) if hasattr(data, "column_names") else data[name].array.__arrow_array__()
        return [_held(value, name) for value in column]


def _held(value: Any, name: str) -> Any:
    try:
        return value.as_py()
    except (OverflowError, ValueError) as error:
        return _Unheld(name, error)


def _line(row: dict[str, Any], encoder: json.JSONEncoder, escaping: json.JSONEncoder) -> bytes:
    try:
        text = encoder.encode(row)
    except ValueError:
        row = _finite(row)
        text = encoder.encode(row)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair: only an escape can say that
        return escaping.encode(row).encode("ascii")


def _finite(value: Any) -> Any:
    """The value with null in place of NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """JSON for what JSON has no type for."""
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return None if value != value else value.isoformat()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode("ascii")
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _finite(value.tolist())
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, _Unheld):
        raise TypeError(value.what)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")
