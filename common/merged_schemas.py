"""One schema for tables whose columns differ a little: the rules of readers, writers and `collect`, in one place.

Columns are in the order in which they first appear. A column that a table lacks is null there. Types that differ give
the type that holds the values of both: null and any other give the other; whole numbers the wider type (signed and
unsigned 64-bit: unsigned, if nothing is negative); whole numbers and floats double, if every whole number is exact in
it; short and long forms of text, bytes and lists the long one; lists, structs and maps by what is in them, where a
struct has the fields of both; times of one zone the finer unit; decimals one with room for both. Anything else is a
conflict. No value is ever changed: one that the common type does not hold is an error, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_UNITS = ("s", "ms", "us", "ns")
_LONGEST_SHOWN = 120


class SchemaConflictError(ValueError):
    """No schema holds the columns of all tables; the message names column, types and files."""


class NoCommonTypeError(Exception):
    """Two types have no common one; `path` is the column, or what in it."""

    def __init__(self, path: str, one: pa.DataType, other: pa.DataType) -> None:
        super().__init__(path, one, other)
        self.path, self.one, self.other = path, one, other


def merged_schema(schemas: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """The common schema of named tables (the names are for messages), without metadata.

    Raises:
        SchemaConflictError: there is none.
    """
    import pyarrow as pa

    found: dict[str, tuple[pa.DataType, str]] = {}
    for name, schema in schemas:
        for field in schema:
            known, first = found.get(field.name, (pa.null(), name))
            try:
                kind = merged_type(known, field.type, field.name)
            except NoCommonTypeError as error:
                raise SchemaConflictError(
                    f"column {error.path!r} is {_shown(error.one)} in {first} and {_shown(error.other)} in {name}: "
                    "no type holds the values of both"
                ) from None
            found[field.name] = (kind, first if kind.equals(known) else name)
    return pa.schema([(name, kind) for name, (kind, _) in found.items()])


def conformed(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """The table with a merged schema, nulls in the columns that it lacks; `name` is for messages.

    Raises:
        SchemaConflictError: a type of the schema does not hold a value of the table.
    """
    import pyarrow as pa

    if table.schema.equals(schema):
        return table
    columns = []
    there = set(table.column_names)
    for field in schema:
        if field.name not in there:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        try:
            columns.append(column if column.type.equals(field.type) else _cast(column, field.type))
        except (pa.ArrowException, OverflowError) as error:
            raise SchemaConflictError(
                f"column {field.name!r} is {_shown(column.type)} in {name}, and {_shown(field.type)} with the files "
                f"beside it, which does not hold its values: {error}"
            ) from error
    return pa.table(columns, schema=schema)


def merged_type(one: pa.DataType, other: pa.DataType, path: str = "") -> pa.DataType:
    """The type that holds the values of both; `path` names the column, and what is in it, for errors.

    Raises:
        NoCommonTypeError: there is none.
    """
    import pyarrow.types as kinds

    if one.equals(other) or kinds.is_null(other):
        return one
    if kinds.is_null(one):
        return other
    if kinds.is_dictionary(one) or kinds.is_dictionary(other):
        plain = [kind.value_type if kinds.is_dictionary(kind) else kind for kind in (one, other)]
        return merged_type(plain[0], plain[1], path)
    found = _merged_scalars(one, other) or _merged_nested(one, other, path)
    if found is None:
        raise NoCommonTypeError(path, one, other)
    return found


def _merged_scalars(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa
    import pyarrow.types as kinds

    def both(*checks: Any) -> bool:
        return all(any(check(kind) for check in checks) for kind in (one, other))

    if both(kinds.is_integer):
        return _merged_integers(one, other)
    if both(kinds.is_floating):
        return max(one, other, key=lambda kind: kind.bit_width)
    if both(kinds.is_integer, kinds.is_floating):
        return pa.float64()
    if both(*_checks("is_string", "is_large_string", "is_string_view")):
        return pa.large_string() if pa.large_string() in (one, other) else pa.string()
    if both(*_checks("is_binary", "is_large_binary", "is_binary_view", "is_fixed_size_binary")):
        return pa.large_binary() if pa.large_binary() in (one, other) else pa.binary()
    if both(kinds.is_timestamp) and one.tz == other.tz:
        return pa.timestamp(max(one.unit, other.unit, key=_UNITS.index), one.tz)
    if both(kinds.is_duration):
        return pa.duration(max(one.unit, other.unit, key=_UNITS.index))
    if both(kinds.is_decimal):
        scale = max(one.scale, other.scale)
        digits = scale + max(one.precision - one.scale, other.precision - other.scale)
        if digits <= 76:
            return pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale)
    return None


def _merged_integers(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    import pyarrow.types as kinds

    if kinds.is_signed_integer(one) == kinds.is_signed_integer(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    signed, unsigned = (one, other) if kinds.is_signed_integer(one) else (other, one)
    if unsigned.bit_width == 64:
        return pa.uint64()
    return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[max(signed.bit_width, 2 * unsigned.bit_width)]


def _merged_nested(one: pa.DataType, other: pa.DataType, path: str) -> pa.DataType | None:
    import pyarrow as pa
    import pyarrow.types as kinds

    lists = _checks("is_list", "is_large_list", "is_fixed_size_list")
    if all(any(check(kind) for check in lists) for kind in (one, other)):
        inner = merged_type(one.value_type, other.value_type, f"{path}[]")
        is_large = kinds.is_large_list(one) or kinds.is_large_list(other)
        return pa.large_list(inner) if is_large else pa.list_(inner)
    if kinds.is_struct(one) and kinds.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = merged_type(fields.get(field.name, pa.null()), field.type, f"{path}.{field.name}")
        return pa.struct(list(fields.items()))
    if kinds.is_map(one) and kinds.is_map(other):
        key = merged_type(one.key_type, other.key_type, f"{path}.keys")
        return pa.map_(key, merged_type(one.item_type, other.item_type, f"{path}.values"))
    return None


def _checks(*names: str) -> list[Any]:
    """Checks of types by name; older versions of Arrow lack some."""
    import pyarrow.types as kinds

    return [getattr(kinds, name) for name in names if hasattr(kinds, name)]


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return column.cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):  # structs of other fields, in older versions of Arrow
        return pa.chunked_array([pa.array(column.to_pylist(), kind)], kind)


def _shown(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
