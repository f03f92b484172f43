"""Writing an archive: a tree as one compressed tar file, with what must be changed in its copies."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.staging.archive_format import compressed
from curator_slurm.launcher.staging.software import Kind, Root, place_in
from curator_slurm.launcher.staging.tree import THREADS, Entry, Tree

_SMALL = 1 << 20
"""Bytes of a file that is read ahead, whole."""
_AHEAD = 64
_LOOKS_AT = 8192
"""Bytes in which a file that is no text has a zero."""
_SAMPLE = 200


class ChangedError(OSError):
    """A file is not any more what it was when the tree was looked at."""


@dataclass
class ArchiveContent:
    """What an archive holds: `texts` name one of the folders, `read_s` is how long one reader takes for all files."""

    texts: list[str] = field(default_factory=list)
    read_s: float = 0.0


def write_archive(tree: Tree, path: Path, kind: str) -> ArchiveContent:
    """Write all entries of a tree.

    Raises:
        ChangedError: a file has changed meanwhile.
        OSError: one cannot be read, or the archive not be written.
    """
    written = ArchiveContent(read_s=_reading_takes([entry for entry in tree.entries if entry.source]))
    mentions = _mentions([name for root in tree.roots for name in root.names])
    code = {str(number) for number, root in enumerate(tree.roots) if root.has_code}
    with compressed(path, kind) as stream, tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
        for entry, read in _read_ahead(tree.entries):
            if not entry.source:
                tar.addfile(_info(entry))
                continue
            if read is None:
                _add_large(tar, entry)
                continue
            content = read.result()
            if len(content) != entry.size:
                raise ChangedError(f"{entry.source} has changed")
            if entry.place.partition("/")[0] in code and b"\0" not in content[:_LOOKS_AT] and mentions(content):
                written.texts.append(entry.place)
            tar.addfile(_info(entry), io.BytesIO(content))
    return written


def index_of(tree: Tree, written: ArchiveContent, kind: str, python: str | None, started: float) -> dict[str, Any]:
    """index.json: what a node must know of an archive."""
    return {
        "schema": 1,
        "key": tree.key,
        "format": kind,
        "files": tree.files,
        "bytes": tree.size,
        "room": tree.room,
        "roots": [{"kind": root.kind.value, "names": list(root.names)} for root in tree.roots],
        "texts": written.texts,
        "binaries": [list(each) for each in _binaries(tree)],
        "python": place_in(tree.roots, os.path.abspath(python)) if python else None,  # noqa: PTH100 (links stay)
        "read_s": round(written.read_s, 3),
        "pack_s": round(time.monotonic() - started, 3),
    }


def _mentions(names: Sequence[str]) -> Callable[[bytes], bool]:
    """Whether a text has one of these paths; one search of the regular expression for all is slower than several."""
    wanted = [os.fsencode(name) for name in names]
    return lambda content: any(name in content for name in wanted)


def _read_ahead(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Future[bytes] | None]]:
    """Each entry in turn, and the content of a small file, which is read while earlier ones are written."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="staging") as pool:
        waiting: deque[tuple[Entry, Future[bytes] | None]] = deque()
        try:
            for entry in entries:
                small = entry.source and entry.size <= _SMALL
                waiting.append((entry, pool.submit(_read, entry.source) if small else None))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft()
            yield from waiting
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(_SMALL + 1)


def _reading_takes(files: Sequence[Entry]) -> float:
    """How long one reader takes for these files, one after the other, by a sample that nobody has read before."""
    sample = files[:: max(1, len(files) // _SAMPLE)]
    began = time.monotonic()
    for entry in sample:
        _read(entry.source)
    return (time.monotonic() - began) * len(files) / max(1, len(sample))


def _add_large(tar: tarfile.TarFile, entry: Entry) -> None:
    with open(entry.source, "rb") as stream:
        if os.fstat(stream.fileno()).st_size != entry.size:
            raise ChangedError(f"{entry.source} has changed")
        tar.addfile(_info(entry), stream)


def _info(entry: Entry) -> tarfile.TarInfo:
    info = tarfile.TarInfo(entry.place)
    info.mode = entry.mode
    if entry.source:
        info.size, info.mtime = entry.size, entry.changed[0] // 1_000_000_000
    elif entry.target:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
    else:
        info.type = tarfile.DIRTYPE
    return info


def _binaries(tree: Tree) -> Iterator[tuple[str, int]]:
    """(place, bytes that were kept for the prefix) of each file into which conda has written the prefix."""
    for number, root in enumerate(tree.roots):
        if root.kind is Kind.CONDA:
            yield from _of_conda(number, root)


def _of_conda(number: int, root: Root) -> Iterator[tuple[str, int]]:
    for record in sorted(Path(root.path, "conda-meta").glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            value = read_json(record, 64 << 20)
            data = value.get("paths_data") if isinstance(value, dict) else None
            for each in data.get("paths", ()) if isinstance(data, dict) else ():
                if each.get("file_mode") == "binary" and each.get("prefix_placeholder"):
                    yield f"{number}/{each['_path']}", len(os.fsencode(each["prefix_placeholder"]))
