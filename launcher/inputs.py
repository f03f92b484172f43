"""Which files an input names: patterns of this machine, fsspec addresses, and lists of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.speclocation import is_address


def input_files(patterns: Sequence[str], manifest: str | None = None) -> list[str]:
    """All files that the patterns and the list name: sorted within each pattern, in the order of the patterns, none
    twice.

    A folder stands for every file below it (names that begin with a dot apart); a pattern may use `**`.

    Raises:
        StorageError: a pattern names nothing, or something cannot be read.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(named_files(pattern)))
    if manifest is not None:
        from curator_slurm.launcher.filelist import read_file_list

        found.update(dict.fromkeys(file.path for file in read_file_list(Path(manifest))))
    return list(found)


def named_files(pattern: str) -> list[str]:
    """The files that one pattern names, sorted.

    Raises:
        StorageError: it names nothing.
    """
    files = [path for path, _ in remote_files(pattern)] if is_address(pattern) else list(local_files(pattern))
    if not files:
        raise StorageError(f"input.paths: {pattern!r} names no file; check the path, also on the compute nodes")
    return files


def local_files(pattern: str) -> Iterator[str]:
    """Files on this machine that a path, folder or glob names, sorted.

    Raises:
        StorageError: a folder cannot be read: its files would be left out without a word.
    """
    path = Path(pattern)
    if path.is_file():
        yield pattern
        return
    if path.is_dir():
        roots = [path]
    else:
        matches = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
        yield from (str(match) for match in matches if match.is_file())
        roots = [match for match in matches if match.is_dir()] if not pattern.endswith("**") else []
    for root in roots:
        yield from sorted(_below(root))


def _below(root: Path) -> Iterator[str]:
    """All files below a folder, through links to folders too, each folder once."""

    def refuse(error: OSError) -> None:
        raise StorageError(f"input.paths: {error.filename} cannot be read: {error.strerror}")

    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 (there may be very many)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = os.path.join(folder, name)  # noqa: PTH118
            if not name.startswith(".") and (os.path.isfile(path)):  # noqa: PTH113
                yield path


def remote_files(address: str) -> list[tuple[str, int | None]]:
    """Files and sizes (None where the storage does not tell) that an fsspec address, folder or glob names, sorted.

    Raises:
        StorageError: the storage cannot be reached, or its package is missing.
    """
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(address)
        found: dict[str, dict[str, Any]] = {}
        if any(sign in path for sign in "*?["):
            matches: dict[str, dict[str, Any]] = filesystem.glob(path, detail=True)
        else:
            matches = {path: filesystem.info(path)} if filesystem.exists(path) else {}
        for name, info in matches.items():
            if info.get("type") == "directory":
                found.update(filesystem.find(name, detail=True))
            else:
                found[name] = info
        return sorted((filesystem.unstrip_protocol(name), _size(info)) for name, info in found.items())
    except ImportError as error:
        raise StorageError(f"input.paths: {address} needs a package that is not installed: {error}") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"input.paths: {address} cannot be listed: {type(error).__name__}: {error}") from error


def _size(info: dict[str, Any]) -> int | None:
    size = info.get("size")
    return int(size) if size is not None else None
