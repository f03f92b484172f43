"""Bytes in files: local and fsspec addresses, read whole, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from curator_slurm.common.addresses import is_remote, without_scheme
from curator_slurm.common.atomic_files import stream_atomic, temporary_name
from curator_slurm.executors.stages.io.compression import compression_of, decompress, split_compression

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


def open_to_read(path: str, storage_options: Mapping[str, Any] | None = None) -> IO[bytes]:
    """A file as it is stored."""
    if not is_remote(path):
        return open(path, "rb")
    store, inner = filesystem(path, storage_options)
    opened: IO[bytes] = store.open(inner, "rb")
    return opened


def read_bytes(path: str, storage_options: Mapping[str, Any] | None = None, compression: str | None = "infer") -> bytes:
    """The whole content of a file, decompressed; `infer` goes by the suffix of its name, else by its first bytes.

    Raises:
        ValueError: the file is corrupt, or not compressed as its name says; names the file.
    """
    with open_to_read(path, storage_options) as file:
        content = file.read()
    if compression == "infer":
        compression = split_compression(path)[1] or compression_of(content)
    if compression is None:
        return content
    try:
        return decompress(content, compression)
    except (OSError, EOFError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: cannot be read as {compression}: {error}") from error


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
