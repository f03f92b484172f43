"""Reads JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.stages.columns import frame, frame_of_table
from curator_slurm.executors.stages.io.jsonl_fast import read_table
from curator_slurm.executors.stages.io.reader import BaseReader, CompositeReader
from curator_slurm.executors.stages.io.storage import read_bytes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BOM = b"\xef\xbb\xbf"


@dataclass
class JsonlReaderStage(BaseReader):
    """Reads groups of JSONL files: one JSON object in each line, blank lines skipped, UTF-8.

    Values arrive as they are written: no text becomes a date, no integer a float; nested values stay lists and
    dictionaries. A key that some rows lack is null there.
    `read_kwargs`: `storage_options`, `missing_fields`, `compression` (default: by the name's suffix).
    """

    READ_KWARGS: ClassVar[tuple[str, ...]] = ("compression", "lines")

    name: str = "jsonl_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.read_kwargs.get("lines", True) is not True:
            raise ValueError("JsonlReader reads one JSON object per line; lines=False is not supported")

    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """The documents of the files; None where there are none.

        Raises:
            ValueError: a line is not a JSON object (it names file and line), or a field is missing.
        """
        options = dict(read_kwargs or {})
        contents = []
        for path in paths:
            content = read_bytes(path, options.get("storage_options"), options.get("compression", "infer"))
            contents.append(content.removeprefix(_BOM))
        table = _read_fast(contents)
        if table is not None:
            if table.num_rows == 0:
                return None
            data = frame_of_table(table)
        else:
            rows = [row for path, content in zip(paths, contents, strict=True) for row in parse_lines(content, path)]
            if not rows:
                return None
            columns = dict.fromkeys(key for row in rows for key in row)
            data = frame({name: [row.get(name) for row in rows] for name in columns}, len(rows))
        return _with_fields(data, fields, paths, options.get("missing_fields", "error") == "null")


@dataclass
class JsonlReader(CompositeReader):
    """Reads JSONL files: `FilePartitioningStage` and `JsonlReaderStage`."""

    STAGE: ClassVar[type[BaseReader]] = JsonlReaderStage
    DEFAULT_EXTENSIONS: ClassVar[tuple[str, ...]] = (".jsonl", ".json")

    name: str = "jsonl_reader"


def parse_lines(content: bytes, path: str) -> Iterator[dict[str, Any]]:
    """The objects of a file's lines.

    Raises:
        ValueError: naming file and line.
    """
    for number, line in enumerate(content.split(b"\n"), 1):
        stripped = line.strip(b" \t\r")
        if not stripped:
            continue
        try:
            row = json.loads(stripped.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number}: not UTF-8: {error}") from None
        except (json.JSONDecodeError, RecursionError) as error:
            hint = "; the file seems to be one JSON array, not an object per line" if stripped == b"[" else ""
            raise ValueError(f"{path}, line {number}: not JSON: {error}{hint}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: a JSON object is expected, not a {type(row).__name__}")
        yield row


def _read_fast(contents: Sequence[bytes]) -> pa.Table | None:
    """All files by Arrow's parser, or None where it would not give what `parse_lines` gives."""
    import pyarrow as pa

    tables = []
    for content in contents:
        table = read_table(content)
        if table is None:
            return None
        if table.num_rows:
            tables.append(table)
    if not tables:
        return pa.table({})
    kinds: dict[str, pa.DataType] = {}
    for field in (field for table in tables for field in table.schema):
        known = kinds.setdefault(field.name, field.type)
        if known != field.type and not pa.types.is_null(field.type):
            if not pa.types.is_null(known):
                return None
            kinds[field.name] = field.type
    return pa.concat_tables(tables, promote_options="default")


def _with_fields(data: pd.DataFrame, fields: list[str] | None, paths: list[str], fill: bool) -> pd.DataFrame:
    if fields is None:
        return data
    missing = [name for name in fields if name not in data.columns]
    if missing and not fill:
        where = paths[0] if len(paths) == 1 else f"{len(paths)} files, {paths[0]} the first"
        raise ValueError(
            f"no row of {where} has {', '.join(map(repr, missing))}; there are {list(data.columns)} "
            "(read_kwargs={'missing_fields': 'null'} fills missing columns with nulls)"
        )
    for name in missing:
        data[name] = frame({name: [None] * len(data)}, len(data))[name]
    return data[fields]
