"""Files that others read while we write: whole or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


def write_atomic(path: Path, text: str, mode: int = 0o644) -> None:
    """Write `path` so that a reader sees the old file or the new one, also after a crash (fsync, rename)."""
    with stream_atomic(path, mode) as stream:
        stream.write(text.encode())


@contextlib.contextmanager
def stream_atomic(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """`write_atomic` for what is written piece by piece: `path` appears when the block has ended well."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in `path` durable; silently nothing on file systems that cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """`write_atomic` of indented JSON."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", mode)


def read_json(path: Path) -> Any | None:
    """The JSON in `path`, or None where the file is not there (yet)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def append_jsonl(path: Path, value: Any) -> None:
    """Append one JSON line with a single write, so that lines of several writers do not mix."""
    line = json.dumps(value, ensure_ascii=False) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_jsonl(path: Path) -> Iterator[Any]:
    """The lines of a JSONL file; none where it is missing; a last line cut short by a crash is skipped."""
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)
