"""Expands paths to files: files, folders, globs, and fsspec URLs of these."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from curator_slurm.common.addresses import is_remote
from curator_slurm.common.in_words import several
from curator_slurm.executors.remarks import note
from curator_slurm.executors.stages.io.compression import split_compression
from curator_slurm.executors.stages.io.storage import filesystem

_MAGIC = frozenset("*?[")
_SHOWN = 5
"""How many files a message names."""
_OTHER_NAMES = {
    ".jsonl": (".ndjson", ".jsonlines", ".jl", ".ldjson"),
    ".parquet": (".parq", ".pq"),
    ".txt": (".text",),
}
"""What else files of a kind are called."""


def list_files(
    paths: Sequence[str],
    extensions: Sequence[str],
    storage_options: Mapping[str, Any] | None = None,
    sizes: bool = False,
    takes_named: bool = False,
) -> list[tuple[str, int]]:
    """Every file that the paths stand for, once, sorted by name, with its size where `sizes` is set.

    With `takes_named`, a file whose path is given itself, or by a glob that says more of its name than `*`, is taken
    whatever its extension; so is one in a folder whose name is a number at the end and no extension, such as
    part-00000.

    Raises:
        FileNotFoundError: no files match a path.
        ValueError: there are files, but none has one of the extensions (no extensions: all files do).
    """
    found: dict[str, int] = {}
    named: set[str] = set()
    for path in paths:
        files = list(_remote(path, storage_options, sizes) if is_remote(path) else _local(path))
        found.update(files)
        if takes_named:
            named.update(file for file, _ in files if _is_named_by(path, file))

    def is_wanted(path: str) -> bool:
        return path in named or has_extension(path, extensions) or (takes_named and _is_numbered_part(path))

    wanted = {path: size for path, size in found.items() if is_wanted(path)}
    if len(wanted) < len(found):
        skipped = sorted(path for path in found if path not in wanted)
        shown = ", ".join(skipped[:_SHOWN]) + (f" and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else "")
        message = (
            f"{len(skipped)} of {several(len(found), 'file')} without the ending {' or '.join(extensions)}: {shown}"
        )
        if not wanted:
            raise ValueError(f"{message}, and there are no others; check file_extensions")
        note(f"{message}; they were not read")
    if sizes:
        wanted = {path: os.stat(path).st_size if size < 0 else size for path, size in wanted.items()}  # noqa: PTH116
    return sorted(wanted.items())


def has_extension(path: str, extensions: Sequence[str]) -> bool:
    """Whether a name ends with one of the extensions or another name of it, in any case, compressed or not."""
    if not extensions:
        return True
    given = [f".{extension.lstrip('.')}".lower() for extension in extensions]
    endings = tuple(ending for extension in given for ending in (extension, *_OTHER_NAMES.get(extension, ())))
    lower = path.lower()
    return lower.endswith(endings) or split_compression(lower)[0].endswith(endings)


def _is_named_by(path: str, file: str) -> bool:
    """Whether a path says something of the file's own name, and not only of the folder that it was found in."""
    pattern, name = path.rpartition("/")[2], file.rpartition("/")[2]
    return bool(re.search(r"\w", pattern)) and (name == pattern or fnmatch.fnmatchcase(name, pattern))


def _is_numbered_part(path: str) -> bool:
    name = split_compression(path.rpartition("/")[2])[0]
    return re.fullmatch(r"[^_.][^.]*[0-9]|[0-9]", name) is not None


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
