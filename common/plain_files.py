"""Reading files that somebody else may have damaged: only regular ones, and no more of them than makes sense.

A FIFO would block its reader for ever, a device or a file of gigabytes fill the memory. All that is wrong with a file
is an OSError here, as for any other file that cannot be read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def open_plain(path: Path | str) -> BinaryIO:
    """A regular file, to be read.

    Raises:
        OSError: it is none, or cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # as of a socket
            raise _not_plain(path, stat.S_IFSOCK) from None
        raise
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise _not_plain(path, kind)
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path | str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        OSError: it is no such file, or cannot be read.
    """
    with open_plain(path) as stream:
        return read_limited(stream, path, limit)


def read_limited(stream: BinaryIO, path: Path | str, limit: int) -> bytes:
    """What is left in an open file, if that is at most `limit` bytes; else an OSError."""
    size = min(os.fstat(stream.fileno()).st_size, limit)
    content = stream.read(size + 1)  # with a limit of a gigabyte, read() would first get memory for as much
    if len(content) > size:
        content += stream.read(limit + 1 - size)
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def plain_lines(path: Path | str, limit: int, line_limit: int) -> Iterator[bytes]:
    """The lines of a regular file of at most `limit` bytes, none longer than `line_limit`, with their ends.

    Raises:
        OSError: it is no such file, or cannot be read.
    """
    left = limit
    with open_plain(path) as stream:
        while line := stream.readline(line_limit + 1):
            left -= len(line)
            if len(line) > line_limit:
                raise _too_large(path, line_limit, " in one line")
            if left < 0:
                raise _too_large(path, limit)
            yield line


def _not_plain(path: Path | str, kind: int) -> OSError:
    if kind == stat.S_IFDIR:
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'of an unknown kind')}, not a file", str(path))


def _too_large(path: Path | str, limit: int, where: str = "") -> OSError:
    return OSError(errno.EFBIG, f"it has more than {limit:,} bytes{where}", str(path))
