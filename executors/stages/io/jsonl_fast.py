"""JSON lines by Arrow's parser, several times as fast as Python's, wherever it gives the same values."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_EXACT_IN_DOUBLE = 2**53
_BLOCK_BYTES = 1 << 24


def read_table(content: bytes) -> pa.Table | None:
    """The rows of a file; None where Python's parser must decide.

    Arrow takes text that looks like a date for one, rounds integers over 64 bits, gives nested objects the keys of
    their neighbours, takes objects that are not in lines of their own, and does not check UTF-8: all found out
    here. Errors are left to the other parser too, which names the line.
    """
    import pyarrow as pa

    if not content.strip(b" \t\r\n"):
        return pa.table({})
    if b"\0" in content or not _is_utf8(content):
        return None
    rows = _objects(content)
    if rows is None:
        return None
    table = _parse(content, {})
    if table is None:
        return None
    dates = {field.name: pa.string() for field in table.schema if pa.types.is_timestamp(field.type)}
    if dates:
        in_order = table.column_names
        table = _parse(content, dates)
        table = table.select(in_order) if table is not None else None  # named types come first
    if table is None or table.num_rows != rows:
        return None
    return table if all(_faithful(column) for column in table.columns) else None


def _parse(content: bytes, types: dict[str, Any]) -> pa.Table | None:
    import pyarrow as pa
    from pyarrow import json

    schema = pa.schema(list(types.items())) if types else None
    try:
        return json.read_json(
            io.BytesIO(content),
            read_options=json.ReadOptions(use_threads=False, block_size=max(_BLOCK_BYTES, len(content) + 1)),
            parse_options=json.ParseOptions(explicit_schema=schema, newlines_in_values=False),
        )
    except (pa.ArrowException, OverflowError):
        return None


def _faithful(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_boolean(kind) or pa.types.is_int64(kind) or pa.types.is_null(kind):
        return True
    if not pa.types.is_float64(kind):
        return False
    largest = pc.max(pc.abs(column)).as_py()
    return largest is None or largest < _EXACT_IN_DOUBLE


def _objects(content: bytes) -> int | None:
    """The number of lines that are not blank; None where one cannot be an object.

    Inside of JSON, `}` is never followed by `{`: where every line starts and ends so, each holds whole objects. This is
    asked before Arrow is, whose parser ends the process at a line `null`.
    """
    count = 0
    for line in content.split(b"\n"):
        text = line.strip(b" \t\r")
        if text:
            count += 1
            if text[0] != 0x7B or text[-1] != 0x7D:
                return None
    return count


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
