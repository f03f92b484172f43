"""What is written about shards, and how it is read: manifest lines, elements, done records. Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from curator_slurm.common.json_fields import checked, whole
from curator_slurm.launcher.files import parse_json
from curator_slurm.launcher.inputs.input_file import InputFile

MOST_SHARDS = 10_000_000
"""Of a run; no index of a shard or of an array element is larger."""
MARKER = "_shard.json"
"""Name of the file in a shard's outputs that holds its done record: so published folders are never empty (a rename
onto them fails), and the done file can be written again from them. Readers of data sets skip names with `_`."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One line of manifest.jsonl: a shard and its files."""

    index: int
    files: tuple[InputFile, ...]
    skipped: tuple[str, ...] = ()
    """Files that were planned, and are left out by the user's wish."""
    _counted: int | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def bytes(self) -> int:
        """Total of the sizes that are known; added up once, because there may be a million."""
        if self._counted is None:
            object.__setattr__(self, "_counted", sum([file.bytes or 0 for file in self.files]))
        return self._counted or 0

    @property
    def paths(self) -> list[str]:
        return [file.path for file in self.files]

    def to_line(self) -> str:
        """The line, without its newline; files as objects without empty fields."""
        files = _plain_text(self.files) or ", ".join(map(_file_text, self.files))
        skipped = f', "skipped": {json.dumps(self.skipped)}' if self.skipped else ""
        return f'{{"index": {self.index}, "bytes": {self.bytes}, "files": [{files}]{skipped}}}'

    @classmethod
    def from_line(cls, line: str) -> Shard:
        """Raises ValueError where it is not such a line."""
        try:
            value = parse_json(line)
            files = tuple(_input_file(file) for file in value["files"])
            return cls(_index(value["index"]), files, tuple(map(str, value.get("skipped", ()))))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a line of a shard manifest: {error}") from error


def _index(value: object) -> int:
    """The number of a shard or element; raises ValueError where it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_SHARDS:
        raise ValueError(f"the number of a shard or element is an integer from 0 to {MOST_SHARDS:,}")
    return value


def _input_file(value: Mapping[str, Any]) -> InputFile:
    if len(value) == 2 and type(path := value.get("path")) is str and type(size := value.get("bytes")) is int:
        return InputFile(path, size)  # as nearly all of millions
    file = InputFile(**value)
    path, size, mtime_ns, sha256 = file
    if not (
        isinstance(path, str)
        and (size is None or isinstance(size, int))
        and (mtime_ns is None or isinstance(mtime_ns, int))
        and (sha256 is None or isinstance(sha256, str))
    ):
        raise ValueError("not a line of a shard manifest: a path is a string, a size an integer")
    return file


def _plain_text(files: Sequence[InputFile]) -> str:
    """Files with nothing but paths without anything to be escaped, and sizes; empty where one is different."""
    texts = [
        f'{{"path": "{path}", "bytes": {size}}}'
        for path, size, mtime_ns, sha256 in files
        if size is not None and mtime_ns is None and sha256 is None
    ]
    text = ", ".join(texts) if len(texts) == len(files) else ""
    return text if "\\" not in text and text.count('"') == 6 * len(files) and text.isprintable() else ""


def _file_text(file: InputFile) -> str:
    """One file as JSON; json.dumps of as many objects as there are files takes several times as long."""
    path, size, mtime_ns, sha256 = file
    # What is not printable is escaped: bytes of names that are no UTF-8, and characters that end lines elsewhere.
    text = encode_basestring(path) if path.isprintable() else encode_basestring_ascii(path)
    if mtime_ns is None and sha256 is None:
        return f'{{"path": {text}}}' if size is None else f'{{"path": {text}, "bytes": {size}}}'
    parts = [f'{{"path": {text}']
    if size is not None:
        parts.append(f'"bytes": {size}')
    if mtime_ns is not None:
        parts.append(f'"mtime_ns": {mtime_ns}')
    if sha256 is not None:
        parts.append(f'"sha256": {encode_basestring_ascii(sha256)}')
    return ", ".join(parts) + "}"


@dataclass(frozen=True, slots=True)
class Element:
    """One line of elements.jsonl: the array element with this index processes these shards, one after the other."""

    element: int
    shards: tuple[int, ...]
    revised: tuple[int, ...] = ()
    """Those of its shards whose files are other ones than planned, by `retry`."""

    def to_line(self) -> str:
        revised = {"revised": list(self.revised)} if self.revised else {}
        return json.dumps({"element": self.element, "shards": list(self.shards), **revised})

    @classmethod
    def from_line(cls, line: str) -> Element:
        """Raises ValueError where it is not such a line."""
        try:
            value = parse_json(line)
            shards = tuple(_index(shard) for shard in value["shards"])
            return cls(_index(value["element"]), shards, tuple(map(_index, value.get("revised", ()))))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the line of an element: {error}") from error


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One published file, by its path below the shard's outputs; `rows` where the format tells."""

    path: str
    bytes: int
    rows: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """What the lines of failures.jsonl add up to."""

    tasks: int = 0
    rows: int = 0


def count_failed(lines: Iterable[object]) -> Failed:
    """Tasks that failed, and rows that were left out of others."""
    tasks = rows = 0
    for line in lines:
        left_out = whole(line.get("rows")) if isinstance(line, dict) else None
        tasks += left_out is None
        rows += left_out or 0
    return Failed(tasks, rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class DoneRecord:
    """`shards/00012.done.json`, and the marker in the published folder: the same content."""

    run_id: str
    shard: int
    attempt: str
    """Job id and restart, such as 4711_12.1: the name of the attempt's folder."""
    started: float
    published: float
    input_files: int
    input_bytes: int
    files: tuple[OutputFile, ...] = ()
    tasks_failed: int = 0
    rows_failed: int = 0
    """Rows that stages left out of tasks that went on."""
    nothing_kept: str = ""
    """Why the pipeline kept nothing; empty where it did."""
    schema: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def rows(self) -> int | None:
        """Rows of all files; None where a file does not tell."""
        rows = [file.rows for file in self.files]
        return None if None in rows else sum(row or 0 for row in rows)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the totals for people and tools."""
        # Not by asdict, which copies every value: collect writes thousands of these.
        value = {name: getattr(self, name) for name in _DONE_FIELDS}
        files = [
            {"path": file.path, "bytes": file.bytes, "rows": file.rows, "sha256": file.sha256} for file in self.files
        ]
        return {**value, "files": files, "bytes": self.bytes, "rows": self.rows}

    @classmethod
    def from_json(cls, value: Any) -> DoneRecord:
        """Keys of later versions are ignored; a wrong shape is a ValueError."""
        try:
            known = checked(cls, value, "files")
            files = tuple(OutputFile(**checked(OutputFile, item)) for item in value["files"])
            return cls(**{**known, "files": files, "shard": _index(known["shard"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a done record: {error}") from error


_DONE_FIELDS = tuple(each.name for each in fields(DoneRecord))
