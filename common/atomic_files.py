"""Files that appear under their names only when they are complete: a reader sees the old content or the new."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

TEMPORARY = re.compile(r"\..*\.[0-9a-f]{12}\.tmp")
"""Names of what a writer that was killed before its rename has left."""


def temporary_name(name: str) -> str:
    """A new name that matches TEMPORARY, for a file that is to become `name`."""
    return f".{name[:180]}.{os.urandom(6).hex()}.tmp"


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which it becomes by a rename when the block has ended without an error."""
    temporary = path.with_name(temporary_name(path.name))
    try:
        yield temporary
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def stream_atomic(path: Path, mode: int = 0o666, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A stream whose content appears as `path` when the block has ended without an error.

    `durable` content survives a power cut once this returns: file and folder are synced. Without it, what others see
    while we run is whole all the same. The umask applies to `mode`.
    """
    with replaced(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
    if durable:
        sync_folder(path.parent)


def write_atomic(path: Path, content: str | bytes, mode: int = 0o666, *, durable: bool = True) -> None:
    """`stream_atomic` of a whole text."""
    with stream_atomic(path, mode, durable=durable) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def sync_folder(path: Path) -> None:
    """Make renames in a folder durable; file systems that cannot do this are left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
