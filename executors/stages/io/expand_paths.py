"""Expands paths to files: files, folders, globs, and fsspec URLs of these."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.executors.stages.io.storage import filesystem, split_compression

log = logging.getLogger(__name__)

_MAGIC = frozenset("*?[")


def list_files(
    paths: Sequence[str],
    extensions: Sequence[str],
    storage_options: Mapping[str, Any] | None = None,
    sizes: bool = False,
) -> list[tuple[str, int]]:
    """Every file that matches the paths, once, sorted by name, with its size where `sizes` is set.

    Raises:
        FileNotFoundError: no files match a path.
        ValueError: there are files, but none has one of the extensions (no extensions: all files do).
    """
    found: dict[str, int] = {}
    for path in paths:
        files = _remote(path, storage_options, sizes) if is_remote(path) else _local(path)
        found.update(files)
    wanted = {path: size for path, size in found.items() if has_extension(path, extensions)}
    if len(wanted) < len(found):
        skipped = next(path for path in found if path not in wanted)
        message = f"{len(found) - len(wanted)} files do not end with {' or '.join(extensions)}, such as {skipped}"
        if not wanted:
            raise ValueError(f"{message}, and there are no others; check file_extensions")
        log.warning("%s; they are ignored", message)
    if sizes:
        wanted = {path: os.stat(path).st_size if size < 0 else size for path, size in wanted.items()}  # noqa: PTH116
    return sorted(wanted.items())


def has_extension(path: str, extensions: Sequence[str]) -> bool:
    """Whether a name ends with one of the extensions, in any case, with or without the suffix of a compression."""
    if not extensions:
        return True
    endings = tuple(f".{extension.lstrip('.')}".lower() for extension in extensions)
    lower = path.lower()
    return lower.endswith(endings) or split_compression(lower)[0].endswith(endings)


def _local(path: str) -> Iterator[tuple[str, int]]:
    if os.path.isfile(path):  # noqa: PTH113
        yield path, -1
    elif os.path.isdir(path):  # noqa: PTH112
        yield from ((file, -1) for file in _below(path))
    else:
        matches = sorted(glob.glob(path, recursive=True)) if _MAGIC & set(path) else []  # noqa: PTH207
        if not matches:
            raise FileNotFoundError(f"no files match {path!r} on {os.uname().nodename}")
        for match in matches:
            if os.path.isdir(match):  # noqa: PTH112
                if not path.endswith("**"):
                    yield from ((file, -1) for file in _below(match))
            elif os.path.isfile(match):  # noqa: PTH113
                yield match, -1


def _below(folder: str) -> Iterator[str]:
    """Files of a folder and below; linked folders too, each real one once."""
    seen = {os.path.realpath(folder)}
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        entered = []
        for name in folders:
            real = os.path.realpath(f"{root}/{name}")
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                entered.append(name)
        folders[:] = sorted(entered)
        for name in files:
            path = f"{root}/{name}"
            if not name.startswith(".") and os.path.isfile(path):  # noqa: PTH113
                yield path


def _raise(error: OSError) -> None:
    """A folder that cannot be listed must not pass for an empty one."""
    raise error


def _remote(address: str, storage_options: Mapping[str, Any] | None, sizes: bool) -> Iterator[tuple[str, int]]:
    store, inner = filesystem(address, storage_options)
    if store.exists(inner):
        roots = [inner]
    else:
        roots = sorted(map(str, store.glob(inner))) if _MAGIC & set(inner) else []
        if not roots:
            raise FileNotFoundError(f"no files match {address!r}")
    for root in roots:
        if store.isdir(root):
            if root != inner and inner.endswith("**"):
                continue
            for name, info in store.find(root, detail=True).items():
                if not any(part.startswith(".") for part in name[len(root) :].split("/")):
                    yield store.unstrip_protocol(name), _size(info)
        else:
            yield store.unstrip_protocol(root), _size(store.info(root)) if sizes else -1


def _size(info: Mapping[str, Any]) -> int:
    return int(info.get("size") or 0)
