"""Lists of input files (`input.manifest`): what users and other tools write down of a data set."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.shards.records import InputFile
from curator_slurm.launcher.speclocation import is_address

KINDS = (".txt", ".jsonl", ".csv")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_file_list(path: Path) -> Iterator[InputFile]:
    """The files of a list: a path per line (`.txt`), or `path` with `bytes` (or `size`) and `sha256` where they are
    known, as JSON lines or as CSV with a header. Relative paths are relative to the list's folder.

    Raises:
        StorageError: it cannot be read, names no file, or has a line that is wrong, by its number.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise StorageError(f"input.manifest: {path} must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    found = False
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            for number, value in reader(stream):
                try:
                    yield _file(value, path.parent)
                except ValueError as error:
                    raise StorageError(f"input.manifest: {path}:{number}: {error}") from error
                found = True
    except OSError as error:
        raise StorageError(f"input.manifest: {path} cannot be read: {error.strerror or error}") from error
    except csv.Error as error:
        raise StorageError(f"input.manifest: {path} is no CSV: {error}") from error
    if not found:
        raise StorageError(f"input.manifest: {path} names no file")


def _lines(stream: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(stream, 1):
        text = line.rstrip("\r\n")
        if text.strip() and not text.startswith("#"):
            yield number, {"path": text}


def _json_lines(stream: IO[str]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _csv(stream: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv.DictReader(stream)
    for row in rows:
        yield rows.line_num, {key: value for key, value in row.items() if value not in ("", None)}


_READERS: dict[str, Callable[[IO[str]], Iterator[tuple[int, Any]]]] = {
    ".txt": _lines,
    ".jsonl": _json_lines,
    ".csv": _csv,
}


def _file(value: Any, folder: Path) -> InputFile:
    if not isinstance(value, Mapping):
        raise ValueError('not a JSON object such as {"path": "a.jsonl", "bytes": 123}')
    path = value.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError("has no `path`")
    if not path.startswith("/") and not is_address(path):
        path = str(folder / path)
    size, digest = value.get("bytes", value.get("size")), value.get("sha256")
    try:
        number = None if size is None else int(size)
    except (TypeError, ValueError):
        raise ValueError(f"`bytes` must be a whole number; found {size!r}") from None
    if number is not None and (number < 0 or isinstance(size, (bool, float))):
        raise ValueError(f"`bytes` must be a whole number; found {size!r}")
    if digest is not None and not (isinstance(digest, str) and _SHA256.fullmatch(digest)):
        raise ValueError("`sha256` must be 64 hexadecimal digits in lower case")
    return InputFile(path, number, None, digest)
