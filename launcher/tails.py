"""Ends of growing text files, read without reading them whole: at most some megabytes, whatever the files hold."""

from __future__ import annotations

import codecs
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from curator_slurm.common.plain_files import open_plain

_BLOCK = 64 * 1024
TAIL_BYTES = 4 << 20
"""The most that is read of an end. A log of one line of gigabytes has an end of so much."""
LINE_CHARACTERS = 10_000
"""Of a line that is shown as evidence."""


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def last_lines(path: Path, count: int, *, since: int = 0) -> list[str]:
    """The last `count` lines that are not blank, cut where they are absurdly long; none where it cannot be read.

    What lies before the byte `since` is not read.
    """
    lines = [line for line in tail(path, count * 4, since=since).splitlines() if line.strip()]
    return [line[-LINE_CHARACTERS:] for line in lines[-count:]]


def tail(path: Path, count: int, *, since: int = 0) -> str:
    """The last `count` lines of a file, TAIL_BYTES at most; empty where it cannot be read."""
    try:
        with open_plain(path) as stream:
            return _tail_bytes(stream.fileno(), count, since).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _tail_bytes(descriptor: int, count: int, since: int = 0) -> bytes:
    """Read blocks from the end until there are enough lines."""
    position = os.lseek(descriptor, 0, os.SEEK_END)
    first = max(since, position - TAIL_BYTES, 0)
    blocks: deque[bytes] = deque()
    newlines = 0
    while position > first and newlines <= count:
        size = min(_BLOCK, position - first)
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
            with open_plain(self._path) as stream:
                size = os.fstat(stream.fileno()).st_size
                return max(size - len(_tail_bytes(stream.fileno(), lines)), 0)
        except OSError:
            return 0

    def read(self) -> str:
        """What was appended since the last call, TAIL_BYTES at most; from the start again where the file was cut."""
        try:
            with open_plain(self._path) as stream:
                if os.fstat(stream.fileno()).st_size < self._offset:
                    self._offset = 0
                stream.seek(self._offset)
                data = stream.read(TAIL_BYTES)
        except OSError:
            return ""
        self._offset += len(data)
        return self._decoder.decode(data)

    def parts(self) -> Iterator[str]:
        """All that was appended since the last call, part by part."""
        while text := self.read():
            yield text
