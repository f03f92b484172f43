"""JSON files of runs: written whole or not at all, read as far as they are there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import write_atomic


def is_there(path: Path) -> bool:
    """Whether there is something at `path`, as far as we may look: what lies in a locked folder is not there."""
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises where we may not look)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, by name, as far as we may look; none where it cannot be read."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir():
                    found.append(folder / entry.name)
    return sorted(found)


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
    """The lines of a JSONL file; none where it is missing; a last line cut short by a crash is skipped.

    Raises:
        OSError: it may not be read.
    """
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)
