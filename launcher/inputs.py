"""Which files `${input.files}` stands for."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from curator_slurm.launcher.errors import StorageError


def is_address(path: str) -> bool:
    """Whether `path` is an fsspec address such as s3://bucket/key, not a path of this machine."""
    return "://" in path


def input_files(patterns: Sequence[str]) -> list[str]:
    """All files that the patterns name: sorted within each pattern, in the order of the patterns, none twice.

    A folder stands for every file below it (names that begin with a dot apart); a pattern may use `**`.

    Raises:
        StorageError: a pattern names nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        files = list(_remote_files(pattern) if is_address(pattern) else local_files(pattern))
        if not files:
            raise StorageError(f"input.paths: {pattern!r} names no file; check the path, also on the compute nodes")
        found.update(dict.fromkeys(files))
    return list(found)


def local_files(pattern: str) -> Iterator[str]:
    """Files on this machine that a path, folder or glob names, sorted."""
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
        for file in sorted(root.rglob("*")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(root).parts):
                yield str(file)


def _remote_files(address: str) -> list[str]:
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(address)
    names = filesystem.glob(path) if any(sign in path for sign in "*?[") else [path]
    files: list[str] = []
    for name in sorted(map(str, names)):
        if filesystem.isdir(name):
            files.extend(sorted(map(str, filesystem.find(name))))
        elif filesystem.exists(name):
            files.append(name)
    return [filesystem.unstrip_protocol(name) for name in files]
