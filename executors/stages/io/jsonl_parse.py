"""JSON documents of a file, one by one, by Python's parser: slow, exact, and it can say where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from curator_slurm.executors.remarks import leave_out
from curator_slurm.executors.stages.io.compression import compression_of

_FOREIGN = {
    b"PAR1": "is a Parquet file; ParquetReader reads it",
    b"PK\x03\x04": "is a zip archive; unpack it first",
    b"ARROW1": "is an Arrow file; write it as Parquet or JSONL first",
    b"\xff\xfe": "is UTF-16; read_kwargs={'encoding': 'utf-16'} reads it",
    b"\xfe\xff": "is UTF-16; read_kwargs={'encoding': 'utf-16'} reads it",
}
"""What else files hold that are taken for JSONL, by their first bytes."""
_HINTS = {
    b"[": "; the file seems to be one JSON array, not an object per line",
    b"{": "; the file seems to have objects over several lines: there must be one in each (`jq -c .` writes them so)",
}
"""By the whole line that is no JSON."""
_KINDS = {int: "a number", float: "a number", str: "a text", bool: "a truth value", list: "a list", type(None): "null"}
_MOST_LEVELS = 200
"""Deeper values cannot be pickled within Python's limit of recursion."""


def documents(content: bytes, path: str) -> list[dict[str, Any]]:
    """The objects of a file: one in each line, or all in one array, or a single one over several lines.

    Where failing tasks are skipped, a wrong line costs its row alone, unless nothing in the file is right.

    Raises:
        ValueError: something is no JSON object; it names file and line.
    """
    foreign = next((what for first, what in _FOREIGN.items() if content.startswith(first)), None)
    if foreign:
        raise ValueError(f"{path} {foreign}")
    if twice := compression_of(content):
        raise ValueError(f"{path} is compressed twice, or not in the way that it is read: within it is {twice}")
    whole = _whole(content)
    found = list(_parsed_lines(content, path) if whole is None else _elements(whole, path))
    rows = [row for _, row in found if isinstance(row, dict)]
    failed = [(number, error) for number, error in found if isinstance(error, ValueError)]
    if failed and not rows:
        raise failed[0][1]
    for number, error in failed:
        leave_out(error, path, number)
    return rows


def parse_lines(content: bytes, path: str) -> Iterator[dict[str, Any]]:
    """The objects of a file's lines.

    Raises:
        ValueError: naming file and line.
    """
    for _, row in _parsed_lines(content, path):
        if isinstance(row, ValueError):
            raise row
        yield row


def _parsed_lines(content: bytes, path: str) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    """The number of each line that is not blank with its object, or with what is wrong with it."""
    for number, line in enumerate(content.split(b"\n"), 1):
        stripped = line.strip(b" \t\r")
        if not stripped:
            continue
        try:
            row = json.loads(stripped.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield number, ValueError(f"{path}, line {number}: not UTF-8: {error}")
        except (json.JSONDecodeError, RecursionError) as error:
            hint = _HINTS.get(stripped, "")
            yield number, ValueError(f"{path}, line {number}: not JSON: {error}{hint}")
        except ValueError as error:  # a number of more digits than Python converts
            yield number, ValueError(f"{path}, line {number}: {error}")
        else:
            deep = stripped.count(b"[") + stripped.count(b"{") > _MOST_LEVELS
            yield number, _checked(row, f"{path}, line {number}", deep)


def _elements(whole: list[Any], path: str) -> Iterator[tuple[int, dict[str, Any] | ValueError]]:
    for number, row in enumerate(whole, 1):
        yield number, _checked(row, f"{path}, element {number}", True)


def _checked(row: Any, where: str, maybe_deep: bool) -> dict[str, Any] | ValueError:
    if not isinstance(row, dict):
        return ValueError(f"{where}: a JSON object is expected, not {_KINDS[type(row)]}")
    if maybe_deep:
        for key, value in row.items():
            if _is_deeper(value, _MOST_LEVELS):
                return ValueError(
                    f"{where}: the value of {key!r} is nested deeper than {_MOST_LEVELS} levels, which cannot be "
                    "passed from stage to stage; write it as a text of JSON"
                )
    return row


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie more than so many levels deep in each other."""
    row = [value]
    for _ in range(levels + 1):
        row = [
            each
            for holder in row
            if isinstance(holder, (dict, list))
            for each in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not row:
            return False
    return True


def _whole(content: bytes) -> list[Any] | None:
    """The documents of a file that is one JSON value over all its lines; None where each line has its own."""
    first = next((line for line in content.split(b"\n", 100) if line.strip(b" \t\r")), b"").strip(b" \t\r")
    if first[:1] == b"{" and _is_json(first):
        return None
    if first[:1] not in (b"[", b"{"):
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, list) else [value]


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
