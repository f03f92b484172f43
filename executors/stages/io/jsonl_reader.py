"""Reads JSON lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from curator_slurm.executors.remarks import leave_out, leave_out_files
from curator_slurm.executors.stages.columns import frame, frame_of_table
from curator_slurm.executors.stages.io.compression import COMPRESSIONS
from curator_slurm.executors.stages.io.jsonl_fast import read_table
from curator_slurm.executors.stages.io.jsonl_parse import documents
from curator_slurm.executors.stages.io.pandas_options import keywords, needs_pandas, read_frames
from curator_slurm.executors.stages.io.partition_columns import CHOICES as PARTITIONINGS
from curator_slurm.executors.stages.io.partition_columns import with_partition_columns
from curator_slurm.executors.stages.io.reader import BaseReader, CompositeReader, with_fields
from curator_slurm.executors.stages.io.storage import read_bytes
from curator_slurm.executors.stages.option_checks import check_choice
from curator_slurm.executors.stages.surrogates import CHOICES, has_lone_surrogate, without_lone_surrogates

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_BOM = b"\xef\xbb\xbf"


@dataclass
class JsonlReaderStage(BaseReader):
    """Reads groups of JSONL files: one JSON object in each line, blank lines skipped, UTF-8; or one array of objects.

    Values arrive as they are written: no text becomes a date, no integer a float; nested values stay lists and
    dictionaries. Columns are in the order of the keys, and a key that some rows lack is null there. With
    `on_task_error: skip` a line that is no JSON object costs its row, and a file that cannot be read costs the file;
    both are recorded in failures.jsonl.
    `read_kwargs`: `storage_options`, `missing_fields`, `compression` (default: by the name's suffix, else by the first
    bytes), `lone_surrogates` (`replace` puts U+FFFD in place of half a surrogate pair, `drop` leaves out the row, and
    records it), `partitioning` (`hive` makes columns of what the names of folders say, such as `year=2024/`), and the
    arguments of `pandas.read_json`. Where one of those asks for something else than the above (`dtype`,
    `convert_dates`, `nrows`, `encoding`, `engine="pandas"`...), pandas reads the files, and all other arguments have
    pandas' defaults.
    """

    name: str = "jsonl_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, only, why in _FIXED:
            if self.read_kwargs.get(key, only) != only:
                raise ValueError(f"JsonlReader: {key}={self.read_kwargs[key]!r} is not supported: {why}")
        check_choice("JsonlReader", self.read_kwargs, "lone_surrogates", CHOICES)
        check_choice("JsonlReader", self.read_kwargs, "partitioning", PARTITIONINGS)

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
    "lone_surrogates": None,
    "partitioning": None,
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


def _read(paths: list[str], options: dict[str, Any]) -> pd.DataFrame | None:
    """The rows by Arrow's parser, or by Python's where Arrow would change values."""
    wrong: dict[str, ValueError] = {}
    contents: dict[str, bytes] = {}
    for path in paths:
        try:
            content = read_bytes(path, options.get("storage_options"), options.get("compression", "infer"))
            contents[path] = content.removeprefix(_BOM)
        except ValueError as error:
            wrong[path] = error
    tables = _read_fast(list(contents.values())) if not wrong else None
    if tables is not None:
        counts = dict(zip(contents, (table.num_rows for table in tables), strict=True))
        total = sum(counts.values())
        data = frame_of_table(_joined(tables)) if total else None
        if data is not None and not len(data.columns):
            data = frame({}, total)  # of rows without keys
    else:
        rows: list[dict[str, Any]] = []
        counts = {}
        for path, content in contents.items():
            try:
                found = _mended(documents(content, path), path, options.get("lone_surrogates", "keep"))
            except ValueError as error:
                wrong[path] = error
            else:
                rows += found
                counts[path] = len(found)
        leave_out_files(wrong, paths)
        columns = dict.fromkeys(key for row in rows for key in row)
        data = frame({name: [row.get(name) for row in rows] for name in columns}, len(rows)) if rows else None
    if data is not None and options.get("partitioning") == "hive":
        data = with_partition_columns(data, counts, options.get("storage_options"))
    return data


def _mended(rows: list[dict[str, Any]], path: str, lone_surrogates: str) -> list[dict[str, Any]]:
    """The rows with what `lone_surrogates` asks for; a key, which names a column, cannot be kept as it is."""
    wrong = {key for key in {key for row in rows for key in row} if has_lone_surrogate(key)}
    if lone_surrogates == "keep" and not wrong:
        return rows
    mended = []
    for number, row in enumerate(rows, 1):
        if lone_surrogates == "keep":
            if names := sorted(wrong & row.keys()):
                words = (
                    f"{path}, document {number}: half of a surrogate pair in the key {names[0]!r}; read_kwargs="
                    "{'lone_surrogates': 'replace'} puts U+FFFD there, 'drop' leaves out the row"
                )
                leave_out(ValueError(words), path, number)
            else:
                mended.append(row)
        elif not has_lone_surrogate(row):
            mended.append(row)
        elif lone_surrogates == "replace":
            mended.append(without_lone_surrogates(row))
        else:
            error = ValueError(f"{path}, document {number}: half of a surrogate pair; lone_surrogates is 'drop'")
            leave_out(error, path, number, asked_for=True)
    return mended


def _read_with_pandas(paths: list[str], options: dict[str, Any]) -> pd.DataFrame | None:
    import pandas as pd

    own = (
        "storage_options",
        "missing_fields",
        "lines",
        "lone_surrogates",
        "partitioning",
        "pyarrow_block_size",
        "pyarrow_max_block_size",
    )
    arguments = {key: value for key, value in options.items() if key not in own}
    if arguments.get("engine") in (None, "pandas", "pyarrow_direct"):
        arguments.pop("engine", None)

    asked = arguments.pop("compression", "infer")

    def read(path: str, **remote: Any) -> pd.DataFrame:
        if asked not in ("infer", None, *COMPRESSIONS):  # a dictionary of pandas'
            return pd.read_json(path, lines=True, compression=asked, **arguments, **remote)
        content = read_bytes(path, options.get("storage_options"), asked)
        return pd.read_json(io.BytesIO(content), lines=True, **arguments)

    return read_frames(read, paths, options.get("storage_options"))


def _read_fast(contents: Sequence[bytes]) -> list[pa.Table] | None:
    """Each file by Arrow's parser, or None where it would not give what Python's gives."""
    import pyarrow as pa

    tables = []
    kinds: dict[str, pa.DataType] = {}
    for content in contents:
        table = read_table(content)
        if table is None:
            return None
        tables.append(table)
        for column in table.schema:
            known = kinds.setdefault(column.name, column.type)
            if known != column.type and not pa.types.is_null(column.type):
                if not pa.types.is_null(known):
                    return None
                kinds[column.name] = column.type
    return tables


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([table for table in tables if table.num_rows], promote_options="default")
