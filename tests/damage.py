"""Ways in which a file of a run may be damaged: what somebody, or a dying disk, may leave in its place."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HUGE = 3 << 30
"""Bytes of a sparse file that no reader may read whole."""


def _gone(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _socket(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{here}/{path.name}")  # the path itself may be too long for a socket
    listener.close()
    os.close(here)


def _huge(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(HUGE)


def _deep(path: Path) -> None:
    path.write_text("[" * 200_000)


IN_PLACE: Mapping[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.touch(),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "null": lambda path: path.write_text("null\n"),
    "fifo": os.mkfifo,
    "socket": _socket,
    "folder": lambda path: path.mkdir(),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "looping link": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "huge": _huge,
    "deep": _deep,
}
"""What stands in the place of a file or folder."""

VALUES: Mapping[str, str] = {
    "NaN": "NaN",
    "infinite": "-Infinity",
    "overflowing": "1e999",
    "negative": "-1",
    "absurd": "1000000000000",
    "gigantic": "9" * 400,
    "text": '"12\\u001b[31m"',
    "list": "[[1]]",
    "object": '{"a": {}}',
}
"""What stands in the place of every value in a JSON file, in turn."""


def replace_file(path: Path, kind: str) -> None:
    """Put something else in the place of a file or folder."""
    _gone(path)
    IN_PLACE[kind](path)


def replace_values(path: Path, kind: str, keep: tuple[str, ...] = ("schema",)) -> bool:
    """Put something else in the place of every value of a file of JSON, or of JSON lines; False where it is neither."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except ValueError:
        try:
            lines = [json.loads(path.read_text())]
        except ValueError:
            return False
    if not lines or not all(isinstance(line, dict) for line in lines):
        return False
    path.write_text("".join(f"{_with(line, VALUES[kind], keep)}\n" for line in lines))
    return True


def _with(value: dict[str, Any], text: str, keep: tuple[str, ...]) -> str:
    items = (f"{json.dumps(key)}: {json.dumps(old) if key in keep else text}" for key, old in value.items())
    return "{" + ", ".join(items) + "}"
