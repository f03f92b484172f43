"""JSON files of runs: written whole or not at all, read as far as they are there and make sense.

Whoever reads them never hangs, and never fills the memory: common/plain_files.py.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curator_slurm.common.appended_files import append_text
from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.plain_files import plain_lines, read_plain
from curator_slurm.launcher.errors import UsageError

RECORD_BYTES = 16 << 20
"""Of a JSON file: the largest are outcomes of elements with hundreds of thousands of shards."""
LIST_BYTES = 256 << 20
"""Of a file that has a line or an entry for each shard or output file of a run."""
_LINE_BYTES = RECORD_BYTES


def is_there(path: Path) -> bool:
    """Whether there is something at `path`, as far as we may look: what lies in a locked folder is not there."""
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises where we may not look)


def is_filled(path: Path) -> bool:
    """Whether outputs would find something else at `path`.

    Raises:
        OSError: it cannot be looked at.
    """
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


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


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; NaN, infinities, and what is read as one, such as 1e999, are None.

    Raises:
        ValueError: it is no JSON, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def read_json(path: Path | str, limit: int = RECORD_BYTES) -> Any | None:
    """The JSON in `path`, or None where the file is not there (yet).

    Raises:
        OSError: it cannot be read, is no regular file, or has more than `limit` bytes.
        ValueError: it is no JSON.
    """
    try:
        return parse_json(read_plain(path, limit))
    except FileNotFoundError:
        return None


def read_object(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in `path`; None where there is none, or none that can be read. Called for thousands of files."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def append_jsonl(path: Path, value: Any) -> None:
    """Add a line of JSON; lines of several writers do not mix."""
    append_text(path, json.dumps(value, ensure_ascii=False) + "\n")


def read_jsonl(path: Path, limit: int = LIST_BYTES) -> Iterator[Any]:
    """The values of a JSONL file; none where it cannot be read.

    Lines that are no JSON are skipped; what follows after `limit` bytes, or a line of an absurd length, is left out.
    """
    try:
        for line in plain_lines(path, limit, _LINE_BYTES):
            try:
                yield parse_json(line.decode("utf-8", errors="replace"))
            except ValueError:  # cut short by a crash
                continue
    except OSError:
        return


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and `~alice` replaced by home folders: a shell leaves what it does not know as it is.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(f"{path} is in the home folder of an unknown user; write ./~ for such a file") from None
