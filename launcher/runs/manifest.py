"""The manifest of a run: which files are in which shard, a line for each shard, its index the line's number.

It is written once. What a retry takes for a shard in place of its planned files is a file of its own beside it, which
counts for every reader.

An element reads one line of a file that may have a hundred megabytes, so it looks for it as in a dictionary: lines
are in the order of their indices, which they begin with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from curator_slurm.common.atomic_files import stream_atomic, write_atomic
from curator_slurm.common.in_words import several
from curator_slurm.common.plain_files import open_plain, read_plain
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import is_there
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.tails import size_of

_START = re.compile(rb'\{"index": (\d{1,18}),')
_COUNTS = re.compile(rb'\{"index": (\d{1,18}), "bytes": (\d{1,18}), "files": \[(?=\{"path": "|\])')
_INDEX = re.compile(r"([0-9]{5,9})\.json")
_FEW = 10_000
_SHORTEST = len('{"index": 0, "bytes": 0, "files": []}\n')
_LINE_BYTES = 1 << 30
"""Of one shard: several million files."""
_NEAR = 64 * 1024
"""Lines of a part of this size are looked at one after the other."""


def write_manifest(path: Path, shards: Iterable[Shard]) -> None:
    """Write the manifest, whole or not at all, and its folder if it is not there."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with stream_atomic(path, mode=0o600) as stream:
        stream.writelines(f"{shard.to_line()}\n".encode() for shard in shards)


def revised_file(path: Path, index: int) -> Path:
    """The line that counts for a shard in place of that in the manifest."""
    return path.with_name("revised") / f"{index:05d}.json"


def revise(path: Path, shard: Shard) -> None:
    """Let these files be those of a shard that nobody processes.

    Raises:
        StorageError: it cannot be written.
    """
    file = revised_file(path, shard.index)
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(file, f"{shard.to_line()}\n", mode=0o600)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}") from error


def revised_shards(path: Path) -> dict[int, Path]:
    """Shards that have such a file."""
    try:
        files = sorted(path.with_name("revised").iterdir())
    except OSError:
        return {}
    return {int(found[1]): file for file in files if (found := _INDEX.fullmatch(file.name)) is not None}


def read_manifest(path: Path) -> Iterator[Shard]:
    """All shards, one after the other.

    Raises:
        StorageError: there is no such file, or a line of it is damaged.
    """
    for number, line in enumerate(manifest_lines(path)):
        yield _parse(path, line, number)


def manifest_lines(path: Path) -> Iterator[bytes]:
    """The lines of a manifest.

    Raises:
        StorageError: it cannot be read, or a line is of an absurd length.
    """
    revised = revised_shards(path)
    number = 0
    with _open(path) as stream:
        while line := stream.readline(_LINE_BYTES + 1):
            number += 1
            if len(line) > _LINE_BYTES:
                raise StorageError(f"{path}:{number} is damaged: it has more than {_LINE_BYTES:,} bytes")
            yield _line_of(revised[number - 1]) if number - 1 in revised else line


def manifest_counts(line: bytes) -> tuple[int, tuple[int, int]] | None:
    """Index, number of files and bytes of a line as we write them, without its files; None where it is another one.

    Inside of a path a quote has a backslash before it, so that the beginning of a file is nothing else.
    """
    found = _COUNTS.match(line)
    if found is None or not line.endswith(b"]}\n"):
        return None
    return int(found[1]), (line.count(b'{"path": "'), int(found[2]))


def read_shard(path: Path, index: int) -> Shard:
    """One shard, whatever the size of the manifest.

    Raises:
        StorageError: there is no such file or no such shard, or its line is damaged.
    """
    revised = revised_file(path, index)
    if is_there(revised):
        return _parse(revised, _line_of(revised), index)
    with _open(path) as stream:
        start = _search(stream, index)
        stream.seek(start)
        for line in stream:
            if _index_of(line) == index:
                return _parse(path, line, index)
    # The lines are not as we write them: someone has edited them.
    count = 0
    for shard in read_manifest(path):
        count += 1
        if shard.index == index:
            return shard
    raise StorageError(f"{path} has no shard {index}; its {several(count, 'shard')} are numbered from 0")


def count_shards(path: Path) -> int:
    """How many shards there are.

    Raises:
        StorageError: the manifest cannot be read.
    """
    with _open(path) as stream:
        size = stream.seek(0, 2)
        length = _NEAR
        while True:
            stream.seek(max(size - length, 0))
            lines = stream.read().splitlines()
            if len(lines) > 1 or length >= size:
                break
            length *= 8
    last = _index_of(lines[-1]) if lines else None
    return last + 1 if last is not None else sum(1 for _ in read_manifest(path))


def check_count(path: Path, shards: int) -> None:
    """Look whether the manifest is large enough for so many shards; few are taken for granted, without a look.

    Raises:
        ValueError: it is not.
    """
    if shards > _FEW and size_of(path) < shards * _SHORTEST:
        raise ValueError(f"it says {several(shards, 'shard')}, and {path.name} is too small for them")


def _open(path: Path) -> BinaryIO:
    try:
        stream = open_plain(path)
        if stream.peek(1)[:1] not in (b"{", b""):  # type: ignore[attr-defined]
            stream.close()
            raise StorageError(f"the manifest {path} is damaged: its first line is no JSON object")
        return stream
    except FileNotFoundError:
        raise StorageError(f"the run has no manifest of its shards: there is no {path}") from None
    except OSError as error:
        raise StorageError(f"cannot read the manifest {path}: {error.strerror or error}") from error


def _line_of(revised: Path) -> bytes:
    try:
        return read_plain(revised, _LINE_BYTES)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {revised}: {error}") from error


def _parse(path: Path, line: bytes, number: int) -> Shard:
    try:
        shard = Shard.from_line(line.decode("utf-8"))
    except ValueError as error:
        raise StorageError(f"{path}:{number + 1} is damaged: {error}") from error
    if shard.index != number:
        raise StorageError(f"{path}:{number + 1} is damaged: this is shard {shard.index}, not {number}")
    return shard


def _index_of(line: bytes) -> int | None:
    found = _START.match(line)
    return int(found[1]) if found else None


def _search(stream: BinaryIO, index: int) -> int:
    """Where a line begins from which the one with this index is not far; 0 where the lines are not as we write them."""
    low, high = 0, stream.seek(0, 2)
    while high - low > _NEAR:
        middle = (low + high) // 2
        stream.seek(middle)
        stream.readline()
        here = stream.tell()
        if here >= high:  # only the rest of a long line is there
            high = middle
            continue
        found = _index_of(stream.read(64))
        if found is None:
            return 0
        if found <= index:
            low = here
        else:
            high = middle
    return low
