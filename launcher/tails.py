"""Ends of growing text files, read without reading them whole."""

from __future__ import annotations

import codecs
import os
from collections import deque
from pathlib import Path

_BLOCK = 64 * 1024


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines that are not blank; none where the file cannot be read."""
    return [line for line in tail(path, count * 4).splitlines() if line.strip()][-count:]


def tail(path: Path, count: int) -> str:
    """The last `count` lines of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return _tail_bytes(stream.fileno(), count).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _tail_bytes(descriptor: int, count: int) -> bytes:
    """Read blocks from the end until there are enough lines."""
    position = os.lseek(descriptor, 0, os.SEEK_END)
    blocks: deque[bytes] = deque()
    newlines = 0
    while position > 0 and newlines <= count:
        size = min(_BLOCK, position)
        position -= size
        block = os.pread(descriptor, size, position)
        newlines += block.count(b"\n")
        blocks.appendleft(block)
    text = b"".join(blocks)
    lines = text.splitlines(keepends=True)
    return b"".join(lines[-count:]) if count else b""


class GrowingFile:
    """A file that somebody appends to; `read` gives what is new, characters never cut in two."""

    def __init__(self, path: Path, lines: int | None = None) -> None:
        self._path = path
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0
        if lines is not None:
            self._offset = self._offset_of_last(lines)

    def _offset_of_last(self, lines: int) -> int:
        try:
            with self._path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                return max(size - len(_tail_bytes(stream.fileno(), lines)), 0)
        except OSError:
            return 0

    def read(self) -> str:
        """What was appended since the last call; from the start again where the file was cut."""
        try:
            with self._path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size < self._offset:
                    self._offset = 0
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return ""
        self._offset += len(data)
        return self._decoder.decode(data)
