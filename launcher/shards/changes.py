"""What has become of input files since they were planned: changed, vanished, new."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from curator_slurm.launcher.shards.listing import THREADS
from curator_slurm.launcher.shards.records import InputFile, Shard
from curator_slurm.launcher.speclocation import is_address


class Change(StrEnum):
    """What happened to a file."""

    CHANGED = "changed"
    VANISHED = "vanished"
    APPEARED = "appeared"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class InputChange:
    """One file that is not as it was planned; `details` says what differs."""

    path: str
    change: Change
    details: str = ""

    def __str__(self) -> str:
        return f"{self.path} {self.change}{f' ({self.details})' if self.details else ''}"


def check_inputs(shard: Shard, *, checksums: bool = False) -> list[InputChange]:
    """The files of a shard that are not what the manifest says; with `checksums`, those with a `sha256` are read."""
    with ThreadPoolExecutor(min(THREADS, len(shard.files)), thread_name_prefix="inputs") as pool:
        found = pool.map(lambda file: _check(file, checksums=checksums), shard.files)
        return [change for change in found if change is not None]


def find_changes(planned: Iterable[Shard], now: Iterable[InputFile]) -> list[InputChange]:
    """What differs between the planned files and the files that the input names now, in order of paths."""
    current = {file.path: file for file in now}
    changes = []
    for shard in planned:
        for file in shard.files:
            found = current.pop(file.path, None)
            change = InputChange(file.path, Change.VANISHED) if found is None else compare(file, found)
            if change is not None:
                changes.append(change)
    changes += [InputChange(path, Change.APPEARED) for path in current]
    return sorted(changes, key=lambda change: change.path)


def compare(planned: InputFile, found: InputFile) -> InputChange | None:
    """How a file differs from what was planned; what only one of them tells is not compared."""
    if planned.bytes is not None and found.bytes is not None and planned.bytes != found.bytes:
        details = f"{planned.bytes:,} bytes were planned, it has {found.bytes:,}"
        return InputChange(planned.path, Change.CHANGED, details)
    if planned.mtime_ns is not None and found.mtime_ns is not None and planned.mtime_ns != found.mtime_ns:
        return InputChange(planned.path, Change.CHANGED, "it has been written since")
    if planned.sha256 is not None and found.sha256 is not None and planned.sha256 != found.sha256:
        return InputChange(planned.path, Change.CHANGED, "its sha256 is another one")
    return None


def summarise(changes: Sequence[InputChange], most: int = 10) -> Iterator[str]:
    """The changes as lines for people, the first ones by name."""
    yield from (f"  {change}" for change in changes[:most])
    if len(changes) > most:
        yield f"  and {len(changes) - most:,} more"


def _check(file: InputFile, *, checksums: bool) -> InputChange | None:
    look: Callable[[InputFile], InputFile | None] = _remote if is_address(file.path) else _local
    try:
        found = look(file)
        if found is None:
            return InputChange(file.path, Change.VANISHED)
        change = compare(file, found)
        if change is None and checksums and file.sha256 is not None:
            change = compare(file, InputFile(file.path, sha256=_digest(file.path)))
    except Exception as error:  # storage libraries raise what they like
        return InputChange(file.path, Change.UNREADABLE, f"{type(error).__name__}: {error}")
    return change


def _local(file: InputFile) -> InputFile | None:
    try:
        status = os.stat(file.path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    return InputFile(file.path, status.st_size, status.st_mtime_ns)


def _remote(file: InputFile) -> InputFile | None:
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(file.path)
    try:
        size = filesystem.info(path).get("size")
    except FileNotFoundError:
        return None
    return InputFile(file.path, int(size) if size is not None else None)


def _digest(path: str) -> str:
    if is_address(path):
        from fsspec.core import url_to_fs

        filesystem, name = url_to_fs(path)
        digest = hashlib.sha256()
        with filesystem.open(name, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
