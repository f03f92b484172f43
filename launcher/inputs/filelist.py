"""Lists of input files (`input.manifest`): .txt has a path per line, .jsonl and .csv may have sizes and checksums.

Relative paths are relative to the list's folder. Globs, folders and variables are not expanded.
What other tools call `size` is taken for `bytes`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import json.scanner
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, Protocol

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.in_words import several
from curator_slurm.common.plain_files import open_plain
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.address import inside, local_path, show
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.remote import open_remote
from curator_slurm.launcher.ranges import shortened, whole_number

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_decoder = json.JSONDecoder()
_scan: Callable[[str, int], tuple[Any, int]] = json.scanner.make_scanner(_decoder)  # type: ignore[arg-type]
_SIZES = 10**20
"""No size is as large; Python and those who divide by it have limits, too."""
_LINE_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 18
_BLOCK_FILES = 10_000
_PLAIN = re.compile(
    r"""^\{"path":\ ?"(
        (?:/[^/."\\\0-\x1f][^/"\\\0-\x1f]*)+ | (?!file:)[A-Za-z][A-Za-z0-9+.-]*://[^"\\\0-\x1f]+
    )",\ ?"bytes":\ ?([0-9]{1,15})\}$""",
    re.MULTILINE | re.VERBOSE,
)
"""A line as most are: an absolute path with nothing to be simplified, or an address, and its bytes."""
KINDS = (".txt", ".jsonl", ".csv")
_BOM = b"\xef\xbb\xbf"


class WrongLineError(Exception):
    """What is wrong with the line of this number."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class ListBlock(NamedTuple):
    """Files of a list that follow each other, and the numbers of their lines."""

    numbers: Sequence[int]
    files: Sequence[InputFile]


class Digest(Protocol):
    """What is told of every byte of a list, such as a checksum."""

    def update(self, data: bytes, /) -> None: ...


def read_list(path: str) -> Iterator[tuple[int, InputFile]]:
    """The files of a list, each with the number of its line.

    Raises:
        StorageError: the list cannot be read, or a line of it is wrong; names file and line.
    """
    for block in read_blocks(path):
        yield from zip(block.numbers, block.files, strict=True)


def read_blocks(path: str, digest: Digest | None = None) -> Iterator[ListBlock]:
    """`read_list` in blocks, because there may be millions of files; `digest` is told of what has been read.

    Raises:
        StorageError: the list cannot be read, or a line of it is wrong; names file and line.
    """
    folder = path.rpartition("/")[0]
    read = next((reader for kind, reader in _READERS.items() if path.lower().endswith(kind)), None)
    if read is None:
        raise StorageError(f"input.manifest: {show(path)} must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    try:
        with _open(path) as stream:
            told = stream if digest is None else io.BufferedReader(_Told(stream, digest), _BLOCK_BYTES)
            yield from read(told, folder)
    except WrongLineError as error:
        raise StorageError(f"input.manifest: {show(path)}:{error.number}: {error}") from None
    except OSError as error:
        raise StorageError(f"input.manifest: {show(path)} cannot be read: {error.strerror or error}") from error


def new_digest(path: str) -> hashlib._Hash:
    """A checksum of a list, to be told of its content: names in it are relative to its own path."""
    return hashlib.sha256(os.fsencode(path) + b"\0")


def digest_of(path: str) -> str:
    """The checksum that `read_blocks` would compute, without a look at the lines.

    Raises:
        StorageError: the list cannot be read.
    """
    digest = new_digest(path)
    try:
        with _open(path) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise StorageError(f"input.manifest: {show(path)} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _open(path: str) -> BinaryIO:
    return open_remote(path) if is_remote(path) else open_plain(local_path(path))


class _Told(io.RawIOBase):
    """A stream whose bytes are told to a digest as they are read."""

    def __init__(self, stream: BinaryIO, digest: Digest) -> None:
        self._stream, self._digest = stream, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._digest.update(data)
        return len(data)


def _in_blocks(files: Iterable[tuple[int, InputFile]], folder: str) -> Iterator[ListBlock]:
    """Files with their numbers in blocks, with the names that they have outside of the list's folder."""
    files = iter(files)
    while some := list(islice(files, _BLOCK_FILES)):
        yield ListBlock([number for number, _ in some], [_named(file, folder) for _, file in some])


def _named(file: InputFile, folder: str) -> InputFile:
    name = file.path
    plain = name.startswith("/") and "//" not in name and "/." not in name and not name.endswith("/")
    if plain or is_remote(name):
        return file
    name = inside(folder, name)
    return InputFile(name if is_remote(name) else local_path(name), file.bytes, None, file.sha256)


def _lines(stream: BinaryIO, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, none of which may be of an absurd length."""
    number = first - 1
    while line := stream.readline(_LINE_BYTES + 1):
        number += 1
        if len(line) > _LINE_BYTES:
            raise _too_long(number)
        yield number, line


def _too_long(number: int) -> WrongLineError:
    return WrongLineError(number, f"this line has more than {_LINE_BYTES:,} bytes")


def _text(stream: BinaryIO, folder: str) -> Iterator[ListBlock]:
    return _in_blocks(_text_lines(stream), folder)


def _text_lines(stream: BinaryIO) -> Iterator[tuple[int, InputFile]]:
    for number, raw in _lines(stream):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        name = line.rstrip(b"\r\n").decode("utf-8", errors="surrogateescape")
        if name and not name.isspace() and not name.startswith("#"):
            yield number, InputFile(_path(name, number))


def _jsonl(stream: BinaryIO, folder: str) -> Iterator[ListBlock]:
    """Blocks of whole lines; where all of them are as most are, they are not looked at one by one."""
    number, rest = 1, b""
    while True:
        read = stream.read(_BLOCK_BYTES)
        block = rest + read
        end = block.rfind(b"\n") + 1 if read else len(block)
        block, rest = block[:end], block[end:]
        files = _plain_files(block)
        if files is not None:
            yield ListBlock(range(number, number + len(files)), files)
        else:
            yield from _in_blocks(_jsonl_lines(_lines(io.BytesIO(block), number)), folder)
        if not read:
            return
        number += block.count(b"\n")
        if len(rest) > _LINE_BYTES:
            raise _too_long(number)


def _plain_files(block: bytes) -> list[InputFile] | None:
    """The files of lines that are all plain; None where one is not."""
    try:
        text = block.decode() if len(block) <= _LINE_BYTES else ""
    except UnicodeDecodeError:
        return None
    found = _PLAIN.findall(text)
    if not found or len(found) != block.count(b"\n") + (not block.endswith(b"\n")):
        return None
    new = tuple.__new__  # in two thirds of the time of InputFile(), which does the same
    return [new(InputFile, (path, int(size), None, None)) for path, size in found]


def _jsonl_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, InputFile]]:
    for number, raw in lines:
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
    except RecursionError:
        raise WrongLineError(number, "its values are nested too deeply") from None


def _csv(stream: BinaryIO, folder: str) -> Iterator[ListBlock]:
    return _in_blocks(_csv_rows(stream), folder)


def _csv_rows(stream: BinaryIO) -> Iterator[tuple[int, InputFile]]:
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
                    raise WrongLineError(
                        number, f"this has {several(len(row), 'column')}, and the first line names {len(header)}"
                    )
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
    if size and whole_number(size) is None:
        raise WrongLineError(number, f"`bytes` must be an integer; found {shortened(size)}")
    return {**row, "bytes": whole_number(size), "sha256": row.get("sha256", "").strip() or None}


def _file(value: Mapping[str, Any], number: int) -> InputFile:
    """The file that a line describes; other keys are ignored."""
    path = value.get("path")
    if type(path) is str and path and "\0" not in path and "sha256" not in value and "bytes" in value:
        size = value["bytes"]
        if type(size) is int and 0 <= size < _SIZES:  # as nearly all of a million lines
            return InputFile(path, size)
    if not isinstance(path, str):
        found = f"it has {', '.join(map(str, value)) or 'nothing'}" if path is None else f"found {path!r}"
        raise WrongLineError(number, f"`path` must be the path of a file; {found}")
    size, sha256 = value.get("bytes", value.get("size")), value.get("sha256")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _SIZES):
        raise WrongLineError(number, f"`bytes` must be an integer, 0 or more; found {repr(size)[:80]}")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise WrongLineError(number, f"`sha256` must be 64 hexadecimal digits; found {sha256!r}")
    return InputFile(_path(path, number), size, None, sha256)


def _path(path: str, number: int) -> str:
    if not path or "\0" in path:
        raise WrongLineError(number, f"not a valid path: {path!r}")
    return path
