"""JSON lines, plain or compressed (`.gz`, `.zst`, `.bz2`, `.xz`)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from curator_slurm.executors.stages._files import compress, compression_of, open_binary
from curator_slurm.executors.stages._reading import BaseFileReader, FileReader
from curator_slurm.executors.stages._writing import BaseWriter
from curator_slurm.executors.tasks import DocumentBatch

_OWN_KEYS = {"storage_options", "compression", "lines"}


@dataclass
class JsonlReaderStage(BaseFileReader):
    """Reads values as they stand in the file: no text becomes a number or a date, no integer a float.

    `read_kwargs` are those of `pandas.read_json`; with any beyond `storage_options` and `compression`, pandas reads.
    """

    name: str = "jsonl_reader"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.read_kwargs.get("lines") is False:
            raise ValueError("lines=False is not JSON lines; leave it out")

    def read_file(self, path: str) -> pd.DataFrame:
        with open_binary(path, self.storage_options, self.read_kwargs.get("compression", "infer")) as file:
            if set(self.read_kwargs) - _OWN_KEYS:
                kwargs = {key: value for key, value in self.read_kwargs.items() if key not in _OWN_KEYS}
                frame = pd.read_json(file, lines=True, **kwargs)
                return frame if self.fields is None else frame.reindex(columns=self.fields)
            records = [
                record for number, line in enumerate(file, 1) if (record := _parse(line, path, number)) is not None
            ]
        return _frame(records, self.fields)


def _frame(records: list[dict[str, Any]], fields: list[str] | None) -> pd.DataFrame:
    """Columns with missing integers stay objects: pandas would make them floats and lose digits."""
    names = fields if fields is not None else list(dict.fromkeys(name for record in records for name in record))
    columns = {name: pd.Series([record.get(name) for record in records], dtype=object) for name in names}
    return pd.DataFrame(columns, columns=names).infer_objects()


def _parse(line: bytes, path: str, number: int) -> dict[str, Any] | None:
    """One document, None for a blank line."""
    text = line.strip()
    if number == 1:
        text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return None
    try:
        record = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}, line {number}: not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        shown = text[:80].decode("utf-8", "replace")
        raise ValueError(f"{path}, line {number}: not JSON: {error.msg} at column {error.colno}: {shown}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}, line {number}: a JSON object is expected, not {type(record).__name__}")
    return record


@dataclass
class JsonlReader(FileReader):
    """Reads JSON lines: groups the files, then reads each group into one batch of documents."""

    name: str = "jsonl_reader"
    default_extensions: ClassVar[list[str]] = [".jsonl", ".json"]

    def reader(self) -> JsonlReaderStage:
        return JsonlReaderStage(fields=self.fields, read_kwargs=self.read_kwargs or {})


@dataclass
class JsonlWriter(BaseWriter):
    """Writes JSON lines; compressed if `file_extension` says so (`jsonl.zst`).

    `write_kwargs` are those of `DataFrame.to_json`; with any beyond `storage_options` and `compression`, pandas writes.
    """

    file_extension: str = "jsonl"
    write_kwargs: dict[str, Any] = field(default_factory=dict)
    name: str = "jsonl_writer"

    def write_file(self, task: DocumentBatch, path: str) -> None:
        kind = self.write_kwargs.get("compression", "infer")
        kind = compression_of(f"x.{self.file_extension}") if kind == "infer" else kind
        frame = task.to_pandas()
        if self.fields is not None:
            frame = frame[self.fields]
        kwargs = {key: value for key, value in self.write_kwargs.items() if key not in _OWN_KEYS}
        if kwargs:
            text = frame.to_json(None, **{"lines": True, "orient": "records", "force_ascii": False, **kwargs})
        else:
            text = "".join(_line(record) for record in frame.to_dict("records"))
        Path(path).write_bytes(compress(text.encode("utf-8", "surrogatepass"), kind))


def _line(record: dict[Any, Any]) -> str:
    try:
        return json.dumps(record, ensure_ascii=False, default=_plain, allow_nan=False) + "\n"
    except ValueError:  # NaN somewhere
        return json.dumps(_without_nan(record), ensure_ascii=False, default=_plain) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(inner) for inner in value]
    return value


def _plain(value: Any) -> Any:
    """JSON for values that pandas, NumPy and Arrow put into records."""
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8")
    for method in ("tolist", "isoformat"):  # NumPy scalars and arrays; dates and times
        if hasattr(value, method):
            return _without_nan(getattr(value, method)())
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
