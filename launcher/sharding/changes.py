"""What has become of input files since they were planned: changed, vanished, new, not readable.

`find_changes` compares and does no I/O; `check_inputs` looks at the files of one shard.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.plain_files import open_plain
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.inputs.address import show
from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.remote import ask_remote, open_remote
from curator_slurm.launcher.runs.shard_records import Shard

THREADS = 16
_BLOCK = 2**20
_SECOND_NS = 10**9


class Change(StrEnum):
    """What happened to a file."""

    CHANGED = "changed"
    VANISHED = "vanished"
    APPEARED = "appeared"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class InputChange:
    """One file that is not as it was planned; `details` says what differs."""

    path: str
    change: Change
    details: str = ""

    def __str__(self) -> str:
        return f"{show(self.path)} {self.change}{f' ({self.details})' if self.details else ''}"


def check_inputs(shard: Shard, *, checksums: bool = False) -> list[InputChange]:
    """The files of a shard that are not what the manifest says; with `checksums`, those with a `sha256` are read."""

    def check(file: InputFile) -> InputChange | None:
        return _check(file, checksums=checksums)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="inputs") as pool:
        return [change for change in pool.map(check, shard.files) if change is not None]


def as_found(file: InputFile) -> InputFile | InputChange:
    """A file as it is now, in place of what was planned; its change where it cannot be used at all."""
    change = _check(file, checksums=False)
    if change is not None and change.change is not Change.CHANGED:
        return change
    found = _remote(file.path) if is_remote(file.path) else _local(file.path)
    return file if found is None or (change is None and file.sha256 is None) else found


def find_changes(planned: Iterable[Shard], now: Iterable[InputFile]) -> list[InputChange]:
    """What differs between the planned files and the files that the input names now, in order of paths."""
    current = {file[0]: file for file in now}
    changes = []
    for shard in planned:
        for path in shard.skipped:
            current.pop(path, None)
        for file in shard.files:
            found = current.pop(file.path, None)
            if found == file:
                continue
            change = InputChange(file.path, Change.VANISHED) if found is None else compare(file, found)
            if change is not None:
                changes.append(change)
    changes += [InputChange(path, Change.APPEARED) for path in current]
    return sorted(changes, key=lambda change: change.path)


def compare(planned: InputFile, found: InputFile) -> InputChange | None:
    """How a file differs from what was planned; what only one of them tells is not compared."""
    details = ""
    if planned.bytes is not None and found.bytes is not None and planned.bytes != found.bytes:
        details = f"{planned.bytes:,} bytes were planned, it has {found.bytes:,}"
    elif planned.mtime_ns is not None and found.mtime_ns is not None and _differ(planned.mtime_ns, found.mtime_ns):
        details = "it has been written since"
    elif planned.sha256 is not None and found.sha256 is not None and planned.sha256.lower() != found.sha256.lower():
        details = "its sha256 is another one"
    return InputChange(planned.path, Change.CHANGED, details) if details else None


def _differ(planned: int, found: int) -> bool:
    """Whether these are two times; some file systems lose the parts of a second once a file is no longer cached."""
    whole = planned % _SECOND_NS == 0 or found % _SECOND_NS == 0
    return planned // _SECOND_NS != found // _SECOND_NS if whole else planned != found


def summarise(changes: Sequence[InputChange], most: int = 10) -> Iterator[str]:
    """The changes as lines for people, the first ones by name."""
    yield from (f"  {change}" for change in changes[:most])
    if len(changes) > most:
        yield f"  and {len(changes) - most:,} more"


def _check(file: InputFile, *, checksums: bool) -> InputChange | None:
    try:
        found = _remote(file.path) if is_remote(file.path) else _local(file.path)
        if found is None:
            return InputChange(file.path, Change.VANISHED)
        change = compare(file, found)
        if change is None and checksums and file.sha256 is not None:
            change = compare(file, InputFile(file.path, sha256=_digest(file.path)))
    except OSError as error:
        return InputChange(file.path, Change.UNREADABLE, error.strerror or str(error))
    except StorageError as error:
        return InputChange(file.path, Change.UNREADABLE, str(error))
    return change


def _local(path: str) -> InputFile | None:
    try:
        status = os.stat(path)  # noqa: PTH116 (there may be very many)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not os.access(path, os.R_OK):
        raise PermissionError(None, "you may not read it")
    return InputFile(path, status.st_size, status.st_mtime_ns)


def _remote(address: str) -> InputFile | None:
    answer = ask_remote(address)
    return None if answer is None else InputFile(address, answer.bytes)


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open_remote(path) if is_remote(path) else open_plain(path) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
