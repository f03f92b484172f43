"""Files at any fsspec address: find them, read them through their compression, write them whole or not at all."""

from __future__ import annotations

import bz2
import contextlib
import glob
import gzip
import io
import lzma
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

COMPRESSION_OF_SUFFIX = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}
_PREFIXES = {
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SHORT = {"k": "kb", "m": "mb", "g": "gb", "t": "tb", "ki": "kib", "mi": "mib", "gi": "gib", "ti": "tib", "": "b"}


def parse_size(size: float | str) -> int:
    """Bytes in a number or a text such as `512MB` (powers of ten) or `1 GiB` (powers of two).

    Raises:
        ValueError: it is neither.
    """
    if isinstance(size, (int, float)):
        return int(size)
    text = size.strip().lower().replace(" ", "")
    digits = text.rstrip("kmgtib")
    unit = text[len(digits) :]
    unit = _SHORT.get(unit, unit)
    factor = 1 if unit == "b" else _PREFIXES.get(unit)
    try:
        return int(float(digits or "1") * cast("int", factor))
    except (TypeError, ValueError):
        raise ValueError(f"{size!r} is not a size; write it like 512MB or 1GiB") from None


def has_extension(path: str, extensions: Iterable[str] | None) -> bool:
    """Whether the file has one of the extensions, before a compression suffix if there is one."""
    if extensions is None:
        return True
    name = PurePosixPath(path).name.lower()
    plain = name.removesuffix(PurePosixPath(name).suffix) if compression_of(name) else name
    wanted = tuple(extension.lower() for extension in extensions)
    return name.endswith(wanted) or plain.endswith(wanted)


def compression_of(path: str) -> str | None:
    """Compression that the file name tells."""
    return COMPRESSION_OF_SUFFIX.get(PurePosixPath(path).suffix.lower())


def list_files(
    paths: str | list[str], extensions: list[str] | None, storage_options: dict[str, Any] | None = None
) -> list[tuple[str, int]]:
    """(address, bytes) of files, globs and folders; bytes are -1 where the file system does not say.

    A folder given as the only path is searched with its sub-folders, folders in a list without, and in both only for
    files with the extensions. A file that is named itself is taken whatever its name is.

    Raises:
        FileNotFoundError: a path does not exist.
    """
    if not isinstance(paths, (str, list, tuple)):
        raise TypeError(f"file_paths must be a path or a list of paths, not {type(paths).__name__}")
    alone = isinstance(paths, str)
    found: list[tuple[str, int]] = []
    for path in [paths] if isinstance(paths, str) else [os.fspath(path) for path in paths]:
        found += _list_one(path, extensions, storage_options or {}, recurse=alone)
    return found


def _list_one(
    path: str, extensions: list[str] | None, options: dict[str, Any], *, recurse: bool
) -> list[tuple[str, int]]:
    fs, inner = url_to_fs(path, **options)
    if fs.isfile(inner):
        infos = [fs.info(inner)]
    elif fs.isdir(inner):
        detail = fs.find(inner, maxdepth=None if recurse else 1, detail=True)
        infos = [info for info in detail.values() if _is_wanted(info, extensions)]
    elif glob.has_magic(path):
        infos = [info for info in fs.glob(inner, detail=True).values() if info["type"] == "file"]
    else:
        raise FileNotFoundError(f"there is no file or folder {path}")
    local = isinstance(fs, LocalFileSystem) and "://" not in path
    return [(info["name"] if local else fs.unstrip_protocol(info["name"]), _size(info)) for info in infos]


def _is_wanted(info: dict[str, Any], extensions: list[str] | None) -> bool:
    hidden = PurePosixPath(info["name"]).name.startswith(".")
    return info["type"] == "file" and not hidden and has_extension(info["name"], extensions)


def _size(info: dict[str, Any]) -> int:
    size = info.get("size")
    return -1 if size is None else int(size)


@contextlib.contextmanager
def open_binary(
    path: str, storage_options: dict[str, Any] | None = None, compression: str | None = "infer"
) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed."""
    kind = compression_of(path) if compression == "infer" else compression
    with fsspec.open(path, "rb", compression=None, **(storage_options or {})) as raw, _decompressed(raw, kind) as plain:
        yield plain


@contextlib.contextmanager
def _decompressed(raw: IO[bytes], kind: str | None) -> Iterator[IO[bytes]]:
    match kind:
        case None:
            yield raw
        case "gzip":
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        case "bz2":
            yield cast("IO[bytes]", bz2.BZ2File(raw))
        case "xz":
            yield cast("IO[bytes]", lzma.LZMAFile(raw))  # noqa: SIM115
        case "zstd":
            import zstandard

            stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
            with stream, io.BufferedReader(stream) as buffered:
                yield buffered
        case _:
            raise ValueError(
                f"compression {kind!r} is not known; there are {', '.join(COMPRESSION_OF_SUFFIX.values())}"
            )


def compress(data: bytes, kind: str | None) -> bytes:
    """The bytes in a compressed form; the same bytes for the same data, so that a file written twice is the same."""
    match kind:
        case None:
            return data
        case "gzip":
            return gzip.compress(data, mtime=0)
        case "bz2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "zstd":
            import zstandard

            return zstandard.ZstdCompressor().compress(data)
        case _:
            raise ValueError(
                f"compression {kind!r} is not known; there are {', '.join(COMPRESSION_OF_SUFFIX.values())}"
            )


@contextlib.contextmanager
def whole_file(fs: Any, path: str) -> Iterator[str]:
    """A local path to write to; what is there at the end of the block appears at `path` at once, or not at all.

    On a local or shared file system by rename (after fsync), on object stores by one upload.
    """
    if isinstance(fs, LocalFileSystem):
        target = Path(path)
        temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            yield str(temporary)
            _flush_to_disk(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return
    folder = tempfile.mkdtemp(prefix="curator-slurm-")
    try:
        local = Path(folder) / "part"
        yield str(local)
        fs.put_file(str(local), path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
