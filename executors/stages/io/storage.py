"""Bytes in files: local and fsspec addresses, compressed or not, written whole or not at all."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from curator_slurm.common.addresses import is_remote, without_scheme
from curator_slurm.common.atomic_files import stream_atomic, temporary_name

COMPRESSIONS = {"gzip": ".gz", "zstd": ".zst", "bz2": ".bz2", "xz": ".xz"}
"""Name of a compression -> its suffix."""
_SUFFIXES = {**{suffix: name for name, suffix in COMPRESSIONS.items()}, ".zstd": "zstd"}

_WHOLE_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"})
"""Stores in which an object appears when its upload is complete; renaming there would copy it."""


def absolute(path: str) -> str:
    """The path as every worker can use it: local ones made absolute, addresses as they are."""
    if is_remote(path):
        return path
    return os.path.abspath(os.path.expanduser(without_scheme(path)))  # noqa: PTH100, PTH111


def filesystem(path: str, storage_options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """The fsspec file system of an address and the path inside it."""
    from fsspec.core import url_to_fs

    found: tuple[Any, str] = url_to_fs(path, **(storage_options or {}))
    return found


def exists(path: str, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Whether there is a file or folder."""
    if not is_remote(path):
        return os.path.lexists(path)
    store, inner = filesystem(path, storage_options)
    return bool(store.exists(inner))


def names(folder: str, storage_options: Mapping[str, Any] | None = None) -> list[str]:
    """The names in a folder; none where it is not there."""
    try:
        if not is_remote(folder):
            return [entry.name for entry in os.scandir(folder)]
        store, inner = filesystem(folder, storage_options)
        return [str(entry).rstrip("/").rpartition("/")[2] for entry in store.ls(inner, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(path: str, storage_options: Mapping[str, Any] | None = None) -> None:
    """Remove a file if it exists."""
    with contextlib.suppress(FileNotFoundError):
        if is_remote(path):
            store, inner = filesystem(path, storage_options)
            store.rm_file(inner)
        else:
            os.unlink(path)  # noqa: PTH108


def join(folder: str, name: str) -> str:
    """A file inside a folder, local or not."""
    return f"{folder.rstrip('/')}/{name}"


def split_compression(name: str) -> tuple[str, str | None]:
    """A file name without the suffix of its compression, and the compression's name, None where there is none."""
    stem, dot, last = name.rpartition(".")
    compression = _SUFFIXES.get(f".{last.lower()}") if dot else None
    return (stem, compression) if compression else (name, None)


def open_to_read(path: str, storage_options: Mapping[str, Any] | None = None) -> IO[bytes]:
    """A file as it is stored."""
    if not is_remote(path):
        return open(path, "rb")
    store, inner = filesystem(path, storage_options)
    opened: IO[bytes] = store.open(inner, "rb")
    return opened


def read_bytes(path: str, storage_options: Mapping[str, Any] | None = None, compression: str | None = "infer") -> bytes:
    """The whole content of a file, decompressed; `infer` goes by the suffix of its name.

    Raises:
        ValueError: the file is corrupt, or not compressed as its name says; names the file.
    """
    if compression == "infer":
        compression = split_compression(path)[1]
    with open_to_read(path, storage_options) as file:
        try:
            return _decompress(file, compression)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, RuntimeError) as error:
            if compression is None:
                raise
            raise ValueError(f"{path}: cannot be read as {compression}: {error}") from error


def _decompress(file: IO[bytes], compression: str | None) -> bytes:
    if compression is None:
        return file.read()
    if compression == "zstd":
        return _decompress_zstd(file.read())
    openers: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    with openers[compression](file, "rb") as stream:
        return bytes(stream.read())


def _decompress_zstd(raw: bytes) -> bytes:
    """All frames of a file; the stream reader of zstandard would take a truncated file for a complete one."""
    import zstandard

    parts = []
    while raw:
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            parts.append(frame.decompress(raw))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error
        if not frame.eof:
            raise ValueError("the file is truncated")
        raw = frame.unused_data
    return b"".join(parts)


@contextlib.contextmanager
def compressed(sink: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    """A sink that compresses into another; the same input gives the same bytes, whenever it is written."""
    if compression is None:
        yield sink
        return
    stream: Any
    if compression == "gzip":
        stream = gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0, compresslevel=6)
    elif compression == "zstd":
        import zstandard

        stream = zstandard.ZstdCompressor().stream_writer(sink, closefd=False)
    elif compression == "bz2":
        stream = bz2.BZ2File(sink, "wb")
    else:
        stream = lzma.LZMAFile(sink, "wb")  # noqa: SIM115
    with stream:
        yield stream


def write_atomically(
    path: str, write: Callable[[IO[bytes]], None], storage_options: Mapping[str, Any] | None = None
) -> None:
    """Let `write` fill a file that appears under its name only when it is complete and on disk.

    The folder is created if it is missing. An exception leaves the previous file, and no temporary file; a
    killed process may leave one, whose name begins with a dot.
    """
    if is_remote(path):
        _write_remote(path, write, storage_options)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with stream_atomic(target) as file:
        write(file)


def _write_remote(path: str, write: Callable[[IO[bytes]], None], storage_options: Mapping[str, Any] | None) -> None:
    """Write to this node first: closing a half-written remote file would publish it."""
    store, inner = filesystem(path, storage_options)
    folder, _, name = inner.rpartition("/")
    with tempfile.NamedTemporaryFile(prefix="curator-slurm-") as local:
        write(local)
        local.flush()
        if folder:
            store.makedirs(folder, exist_ok=True)
        if path.partition("://")[0] in _WHOLE_OBJECT_STORES:
            store.put_file(local.name, inner)
            return
        temporary = f"{folder}/{temporary_name(name)}" if folder else temporary_name(name)
        try:
            store.put_file(local.name, temporary)
            store.mv(temporary, inner)
        except BaseException:
            with contextlib.suppress(Exception):
                store.rm_file(temporary)
            raise
