"""The rules by which tables that differ a little get one schema."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from curator_slurm.common.merged_schemas import SchemaConflictError, conformed, merged_schema


def merged(*tables: pa.Table) -> pa.Table:
    """The rows of all tables, which are called a, b, c..."""
    named = dict(zip("abcdefg", tables, strict=False))
    schema = merged_schema((name, table.schema) for name, table in named.items())
    return pa.concat_tables([conformed(table, schema, name) for name, table in named.items()])


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (pa.null(), pa.string(), pa.string()),
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int8(), pa.int16()),
        (pa.uint32(), pa.int8(), pa.int64()),
        (pa.uint64(), pa.int64(), pa.uint64()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.int8(), pa.float32(), pa.float64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.dictionary(pa.int8(), pa.string()), pa.string(), pa.string()),
        (pa.binary(), pa.binary(3), pa.binary()),
        (pa.timestamp("s", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
        (pa.decimal128(5, 2), pa.decimal128(8, 1), pa.decimal128(9, 2)),
        (pa.list_(pa.null()), pa.list_(pa.string()), pa.list_(pa.string())),
        (pa.list_(pa.int64()), pa.large_list(pa.float64()), pa.large_list(pa.float64())),
        (
            pa.struct([("a", pa.int64())]),
            pa.struct([("b", pa.string()), ("a", pa.float64())]),
            pa.struct([("a", pa.float64()), ("b", pa.string())]),
        ),
        (pa.struct([]), pa.struct([("a", pa.int64())]), pa.struct([("a", pa.int64())])),
        (pa.map_(pa.string(), pa.null()), pa.map_(pa.string(), pa.int8()), pa.map_(pa.string(), pa.int8())),
        (pa.struct([("a", pa.list_(pa.null()))]), pa.struct([("a", pa.list_(pa.int8()))]), None),
    ],
)
def test_two_types_give_one_and_values_go_into_it(one: Any, other: Any, kind: Any) -> None:
    for first, second in ((one, other), (other, one)):
        table = merged(*(pa.table({"x": pa.array([None], each)}) for each in (first, second)))
        if kind is not None and not pa.types.is_struct(kind):
            assert table.schema.field("x").type == kind
        assert table.column("x").to_pylist() == [None, None]


def test_columns_are_in_the_order_in_which_they_appear_and_null_where_they_lack() -> None:
    table = merged(pa.table({"b": [1], "a": ["x"]}), pa.table({"c": [True], "b": [0.5]}), pa.table({"a": [None]}))
    assert table.to_pylist() == [
        {"b": 1.0, "a": "x", "c": None},
        {"b": 0.5, "a": None, "c": True},
        {"b": None, "a": None, "c": None},
    ]


def test_objects_get_the_keys_of_both() -> None:
    table = merged(pa.table({"m": [{"a": 1, "l": []}]}), pa.table({"m": [{"b": "x", "l": [{"k": 1}]}]}))
    assert table.column("m").to_pylist() == [
        {"a": 1, "l": [], "b": None},
        {"a": None, "l": [{"k": 1}], "b": "x"},
    ]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([1], ["x"], "column 'x' is int64 in a and string in b"),
        ([True], [1], "column 'x' is bool in a and int64 in b"),
        ([{"k": {"deep": 1}}], [{"k": {"deep": "x"}}], r"column 'x\.k\.deep' is int64 in a and string in b"),
        ([[1]], [["x"]], r"column 'x\[\]' is int64 in a"),
        ([[1]], [{"a": 1}], "column 'x' is list<.*> in a and struct<a: int64> in b"),
        ([2**53 + 1], [0.5], "column 'x' is int64 in a, and double with the files beside it, .*9007199254740993"),
        (pa.array([2**63], pa.uint64()), [-1], "column 'x' is int64 in b, and uint64 with .*-1 not in range"),
        (pa.array([0], pa.timestamp("s", "UTC")), pa.array([0], pa.timestamp("s")), "timestamp"),
    ],
)
def test_a_conflict_names_column_types_and_tables(one: Any, other: Any, message: str) -> None:
    with pytest.raises(SchemaConflictError, match=message):
        merged(pa.table({"y": [1], "x": one}), pa.table({"x": other}))


def test_the_table_named_is_the_one_that_decided() -> None:
    tables = [pa.table({"x": pa.nulls(1)}), pa.table({"x": [1]}), pa.table({"x": ["text"]})]
    with pytest.raises(SchemaConflictError, match="int64 in b and string in c"):
        merged(*tables)


def test_large_unsigned_numbers_go_with_small_ones() -> None:
    table = merged(pa.table({"hash": [1, 2]}), pa.table({"hash": pa.array([2**64 - 1], pa.uint64())}))
    assert table.column("hash").to_pylist() == [1, 2, 2**64 - 1]
