"""What an output folder holds: every file with size, rows where the format tells, and checksum if wanted.

Files are made durable on the way: network storage may report a full disk only then.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

from curator_slurm.common.atomic_files import TEMPORARY
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.runs.shard_records import MARKER, OutputFile

_BLOCK = 1 << 20
_THREADS = 8
_LINES = (".jsonl", ".ndjson", ".txt")
_EMPTY = re.compile(rb"\n(?=\n)")
"""Ends a line before an empty one. In JSON Lines that is no row: pandas writes one for a table without rows."""


def take_inventory(folder: Path, *, checksums: bool = False) -> tuple[OutputFile, ...]:
    """All files below `folder`, sorted by path, written through to the storage; half-written ones are removed.

    Raises:
        StorageError: something there is no file and cannot be published, or has the name of our marker.
        OSError: the storage refuses.
    """
    paths = []
    for path in sorted(_walk(folder)):
        if TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
        else:
            paths.append(path)
    describe = partial(_describe, folder, checksums=checksums)
    if len(paths) < 2:
        files = tuple(map(describe, paths))
    else:
        with ThreadPoolExecutor(min(_THREADS, len(paths))) as pool:
            files = tuple(pool.map(describe, paths))
    for directory, _, _ in os.walk(folder):
        sync(Path(directory))
    return files


def sync(path: Path) -> None:
    """Make a file or folder durable; nothing on file systems that cannot.

    Raises:
        OSError: it cannot be written through, such as for want of space.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _walk(folder: Path) -> Iterator[Path]:
    for name, _, files in os.walk(folder, onerror=_raise):
        for file in files:
            yield Path(name) / file


def _raise(error: OSError) -> None:
    raise error


def _describe(folder: Path, path: Path, *, checksums: bool) -> OutputFile:
    relative = str(path.relative_to(folder))
    if relative == MARKER:
        raise StorageError(f"the pipeline wrote {MARKER} into its outputs; this name is ours: give the file another")
    if path.is_symlink() and Path(os.readlink(path)).is_absolute():  # noqa: PTH115 (a link to nowhere is fine here)
        raise StorageError(f"{relative} in the outputs is a link with an absolute path, which would lead nowhere later")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{relative} in the outputs is neither a file nor a folder")
    sync(path)
    rows, digest = count_rows(path), None
    if checksums:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return OutputFile(relative, status.st_size, rows, digest)


def count_rows(path: Path) -> int | None:
    """Rows of a file of lines (also .gz and .zst) or of a Parquet file; None where nobody can say."""
    name = path.name.lower()
    try:
        if name.endswith(".parquet"):
            from pyarrow import parquet

            return int(parquet.read_metadata(path).num_rows)
        plain = name.removesuffix(".gz").removesuffix(".zst")
        if plain.endswith(_LINES):
            with path.open("rb") as stream:
                return _lines(_blocks(stream, name), empty=plain.endswith(".txt"))
    except ImportError:
        return None  # an image without the reader of this format
    except _damage():
        return None
    except OSError as error:
        if error.errno is not None:  # gzip's BadGzipFile has none: what is in the file is not for us to judge
            raise
    return None


def _damage() -> tuple[type[Exception], ...]:
    """What readers raise on a file that is not what its name says."""
    usual = (ValueError, EOFError, zlib.error)
    try:
        import zstandard
    except ImportError:
        return usual
    return (*usual, zstandard.ZstdError)


def _blocks(stream: IO[bytes], name: str) -> Iterator[bytes]:
    source: Any = stream
    if name.endswith(".gz"):
        import gzip

        source = gzip.GzipFile(fileobj=stream)
    elif name.endswith(".zst"):
        import zstandard

        source = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
    while block := source.read(_BLOCK):
        yield block


def _lines(blocks: Iterator[bytes], *, empty: bool) -> int:
    """Lines, with or without those that are empty; the last one need not end."""
    count, last = 0, b"\n"
    for block in blocks:
        count += block.count(b"\n")
        if not empty:
            count -= len(_EMPTY.findall(last + block))
        last = block[-1:]
    return count + (last != b"\n")
