"""Lists of input files (`input.manifest`): .txt has a path per line, .jsonl and .csv may have sizes and checksums.

Relative paths are relative to the list's folder. Globs, folders and variables are not expanded.
What other tools call `size` is taken for `bytes`.
"""

from __future__ import annotations

import csv
import io
import json
import json.scanner
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.plain_files import open_plain
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.address import inside, local_path, show
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.remote import open_remote

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_decoder = json.JSONDecoder()
_scan: Callable[[str, int], tuple[Any, int]] = json.scanner.make_scanner(_decoder)  # type: ignore[arg-type]
_DIGITS = re.compile(r"[0-9]+")
_LINE_BYTES = 1 << 20
KINDS = (".txt", ".jsonl", ".csv")
_BOM = b"\xef\xbb\xbf"


class WrongLineError(Exception):
    """What is wrong with the line of this number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


def read_list(path: str) -> Iterator[tuple[int, InputFile]]:
    """The files of a list, each with the number of its line.

    Raises:
        StorageError: the list cannot be read, or a line of it is wrong; names file and line.
    """
    folder = path.rpartition("/")[0]
    read = next((reader for kind, reader in _READERS.items() if path.lower().endswith(kind)), None)
    if read is None:
        raise StorageError(f"input.manifest: {show(path)} must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    try:
        with open_remote(path) if is_remote(path) else open_plain(local_path(path)) as stream:
            for number, file in read(stream):
                name = file.path
                plain = name.startswith("/") and "//" not in name and "/." not in name and not name.endswith("/")
                if not plain and not is_remote(name):
                    name = inside(folder, name)
                    name = name if is_remote(name) else local_path(name)
                    file = InputFile(name, file.bytes, None, file.sha256)
                yield number, file
    except WrongLineError as error:
        raise StorageError(f"input.manifest: {show(path)}:{error.number}: {error}") from None
    except OSError as error:
        raise StorageError(f"input.manifest: {show(path)} cannot be read: {error.strerror or error}") from error


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, none of which may be of an absurd length."""
    number = 0
    while line := stream.readline(_LINE_BYTES + 1):
        number += 1
        if len(line) > _LINE_BYTES:
            raise _too_long(number)
        yield number, line


def _too_long(number: int) -> WrongLineError:
    return WrongLineError(number, f"this line has more than {_LINE_BYTES:,} bytes")


def _text(stream: BinaryIO) -> Iterator[tuple[int, InputFile]]:
    for number, raw in _lines(stream):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        name = line.rstrip(b"\r\n").decode("utf-8", errors="surrogateescape")
        if name and not name.isspace() and not name.startswith("#"):
            yield number, InputFile(_path(name, number))


def _jsonl(stream: BinaryIO) -> Iterator[tuple[int, InputFile]]:
    for number, raw in _lines(stream):
        if raw.isspace():
            continue
        if number == 1:
            raw = raw.removeprefix(_BOM)
        value = _value(raw, number)
        if not isinstance(value, dict):
            raise WrongLineError(number, 'a line must be an object such as {"path": "a.jsonl", "bytes": 123}')
        yield number, _file(value, number)


def _value(raw: bytes, number: int) -> Any:
    """The value of a line. Most begin with it and end with a line feed: then json need not look for blanks."""
    try:
        line = raw.decode()  # of bytes, json.loads would first find out the encoding, which takes time
        if line.startswith("{"):
            try:
                value, end = _scan(line, 0)
                if end == len(line) or line[end:] == "\n":
                    return value
            except StopIteration:
                pass  # the decoder has words for it
        return _decoder.decode(line)
    except ValueError as error:  # also bytes that are not UTF-8
        raise WrongLineError(number, f"not valid JSON: {error}") from None


def _csv(stream: BinaryIO) -> Iterator[tuple[int, InputFile]]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    lines = _Lines(text)
    rows = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if "path" not in header:
            found = f"found {', '.join(header)}" if header else "the file is empty"
            raise WrongLineError(1, f"the first line must name the columns, one of them `path`; {found}")
        number = rows.line_num + 1
        for row in rows:
            if row:
                if len(row) != len(header):
                    raise WrongLineError(number, f"this has {len(row)} columns, and the first line names {len(header)}")
                yield number, _file(_numbers(dict(zip(header, row, strict=True)), number), number)
            number = rows.line_num + 1
            lines.left = _LINE_BYTES
    except csv.Error as error:
        raise WrongLineError(rows.line_num, f"this is not CSV: {error}") from None
    finally:
        text.detach()


class _Lines:
    """The lines of a CSV file, of which a row may have several, none of an absurd length; refill `left` at each row."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.left = _LINE_BYTES
        self._text, self._number = text, 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self.left + 1)
        self._number += 1
        self.left -= len(line)
        if self.left < 0:
            raise _too_long(self._number)
        if not line:
            raise StopIteration
        return line


_READERS = {".txt": _text, ".jsonl": _jsonl, ".csv": _csv}


def _numbers(row: dict[str, Any], number: int) -> dict[str, Any]:
    """A row of a CSV file with its size as a number, and without empty fields."""
    size = (row.get("bytes") or row.get("size") or "").strip()
    if size and not _DIGITS.fullmatch(size):
        raise WrongLineError(number, f"`bytes` must be an integer; found {size!r}")
    return {**row, "bytes": int(size) if size else None, "sha256": row.get("sha256", "").strip() or None}


def _file(value: Mapping[str, Any], number: int) -> InputFile:
    """The file that a line describes; other keys are ignored."""
    path = value.get("path")
    if type(path) is str and path and "\0" not in path and "sha256" not in value and "bytes" in value:
        size = value["bytes"]
        if type(size) is int and size >= 0:  # as nearly all of a million lines
            return InputFile(path, size)
    if not isinstance(path, str):
        found = f"it has {', '.join(map(str, value)) or 'nothing'}" if path is None else f"found {path!r}"
        raise WrongLineError(number, f"`path` must be the path of a file; {found}")
    size, sha256 = value.get("bytes", value.get("size")), value.get("sha256")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise WrongLineError(number, f"`bytes` must be an integer, 0 or more; found {size!r}")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise WrongLineError(number, f"`sha256` must be 64 hexadecimal digits; found {sha256!r}")
    return InputFile(_path(path, number), size, None, sha256)


def _path(path: str, number: int) -> str:
    if not path or "\0" in path:
        raise WrongLineError(number, f"not a valid path: {path!r}")
    return path
