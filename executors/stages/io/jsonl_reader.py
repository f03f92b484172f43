"""Reads JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.stages.columns import frame, frame_of_table
from curator_slurm.executors.stages.io.jsonl_fast import read_table
from curator_slurm.executors.stages.io.pandas_options import keywords, needs_pandas, read_frames
from curator_slurm.executors.stages.io.reader import BaseReader, CompositeReader, with_fields
from curator_slurm.executors.stages.io.storage import COMPRESSIONS, read_bytes, split_compression

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BOM = b"\xef\xbb\xbf"


@dataclass
class JsonlReaderStage(BaseReader):
    """Reads groups of JSONL files: one JSON object in each line, blank lines skipped, UTF-8.

    Values arrive as they are written: no text becomes a date, no integer a float; nested values stay lists and
    dictionaries. A key that some rows lack is null there.
    `read_kwargs`: `storage_options`, `missing_fields`, `compression` (default: by the name's suffix), and the arguments
    of `pandas.read_json`. Where one of those asks for something else than the above (`dtype`, `convert_dates`, `nrows`,
    `encoding`, `engine="pandas"`...), pandas reads the files, and all other arguments have pandas' defaults.
    """

    name: str = "jsonl_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, only, why in _FIXED:
            if self.read_kwargs.get(key, only) != only:
                raise ValueError(f"JsonlReader: {key}={self.read_kwargs[key]!r} is not supported: {why}")

    def known_read_kwargs(self) -> list[str]:
        import pandas as pd

        return [*keywords(pd.read_json), *_ARROW]

    def read_data(
        self, paths: list[str], read_kwargs: dict[str, Any] | None = None, fields: list[str] | None = None
    ) -> pd.DataFrame | None:
        """The documents of the files; None where there are none.

        Raises:
            ValueError: a line is not a JSON object (it names file and line), or a field is missing.
        """
        options = dict(read_kwargs or {})
        data = _read_with_pandas(paths, options) if needs_pandas(options, _ARROW) else _read(paths, options)
        return None if data is None else with_fields(data, fields, paths, options)


_FIXED = (
    ("lines", True, "there is one JSON object in each line"),
    ("typ", "frame", "documents are rows of a frame"),
    ("chunksize", None, "a group of files is one batch; use files_per_partition or blocksize"),
)
"""Arguments of `pandas.read_json` with the only value that makes sense here."""

_ARROW: dict[str, tuple[Any, ...] | None] = {
    "storage_options": None,
    "missing_fields": None,
    "compression": ("infer", None, *COMPRESSIONS),
    "engine": (None, "pyarrow_direct"),
    "pyarrow_block_size": None,
    "pyarrow_max_block_size": None,
    "lines": (True,),
    "orient": (None, "records"),
    "typ": ("frame",),
    "dtype": (False,),
    "convert_axes": (None, False),
    "convert_dates": (False,),
    "keep_default_dates": (False,),
    "date_unit": (None,),
    "encoding": (None, "utf-8"),
    "encoding_errors": (None, "strict"),
    "chunksize": (None,),
    "nrows": (None,),
    "dtype_backend": ("pyarrow",),
}
"""What needs no pandas. `engine` and block sizes are NeMo Curator's; a block here is as large as its file."""


@dataclass
class JsonlReader(CompositeReader):
    """Reads JSONL files: `FilePartitioningStage` and `JsonlReaderStage`."""

    STAGE: ClassVar[type[BaseReader]] = JsonlReaderStage

    file_paths: str | list[str]
    files_per_partition: int | None = None
    blocksize: int | str | None = None
    fields: list[str] | None = None
    read_kwargs: dict[str, Any] | None = None
    task_type: str = "document"
    file_extensions: list[str] = field(default_factory=lambda: [".jsonl", ".json"])
    _generate_ids: bool = False
    _assign_ids: bool = False
    name: str = "jsonl_reader"
    allow_empty: bool = False


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


def _read(paths: list[str], options: dict[str, Any]) -> pd.DataFrame | None:
    """The rows by Arrow's parser, or by Python's where Arrow would change values."""
    contents = []
    for path in paths:
        content = read_bytes(path, options.get("storage_options"), options.get("compression", "infer"))
        contents.append(content.removeprefix(_BOM))
    table = _read_fast(contents)
    if table is not None:
        return frame_of_table(table) if table.num_rows else None
    rows = [row for path, content in zip(paths, contents, strict=True) for row in parse_lines(content, path)]
    if not rows:
        return None
    columns = dict.fromkeys(key for row in rows for key in row)
    return frame({name: [row.get(name) for row in rows] for name in columns}, len(rows))


def _read_with_pandas(paths: list[str], options: dict[str, Any]) -> pd.DataFrame | None:
    import pandas as pd

    own = ("storage_options", "missing_fields", "lines", "pyarrow_block_size", "pyarrow_max_block_size")
    arguments = {key: value for key, value in options.items() if key not in own}
    if arguments.get("engine") in (None, "pandas", "pyarrow_direct"):
        arguments.pop("engine", None)

    def read(path: str, **remote: Any) -> pd.DataFrame:
        by_name = {"compression": split_compression(path)[1] or "infer"}
        return pd.read_json(path, lines=True, **{**by_name, **arguments, **remote})

    return read_frames(read, paths, options.get("storage_options"))


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
    for column in (column for table in tables for column in table.schema):
        known = kinds.setdefault(column.name, column.type)
        if known != column.type and not pa.types.is_null(column.type):
            if not pa.types.is_null(known):
                return None
            kinds[column.name] = column.type
    return pa.concat_tables(tables, promote_options="default")
