"""The input of a sharded run as it is now: every file once, with its size; sizes are looked up side by side."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.filelist import read_file_list
from curator_slurm.launcher.inputs import local_files, remote_files
from curator_slurm.launcher.shards.records import InputFile
from curator_slurm.launcher.spec import InputSpec
from curator_slurm.launcher.speclocation import is_address

THREADS = 32
"""Looking up a size waits for the storage, not for this machine."""
_CHUNK = 500

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how far, and of how many where that is known."""


def list_input(spec: InputSpec, progress: Progress = lambda *_: None) -> list[InputFile]:
    """Every file of the input, in order of its first mention.

    Sizes of local files are looked up unless the list (`input.manifest`) gives them; then the files are not touched.

    Raises:
        StorageError: something is missing, cannot be read, or names nothing.
    """
    found: dict[str, InputFile] = {}
    for pattern in spec.paths:
        files = list(_pattern(pattern, progress))
        if not files:
            raise StorageError(f"input.paths: {pattern!r} names no file; check the path")
        for file in files:
            found.setdefault(file.path, file)
        progress("listing", len(found), None)
    if spec.manifest is not None:
        for file in read_file_list(Path(spec.manifest)):
            found.setdefault(file.path, file)
        progress("listing", len(found), None)
        unknown = [file for file in found.values() if file.bytes is None and not is_address(file.path)]
        for path, seen in zip((file.path for file in unknown), look_up(unknown, progress), strict=True):
            if seen is None:
                raise StorageError(f"input.manifest: {path} is a folder; only files can be listed")
            found[path] = seen
    return list(found.values())


def _pattern(pattern: str, progress: Progress) -> Iterator[InputFile]:
    """The files that a pattern names, with their sizes."""
    if is_address(pattern):
        yield from (InputFile(path, size) for path, size in remote_files(pattern))
        return
    # Whether a match is a folder is found out with its size, side by side: one look at each, not two.
    plain = Path(pattern).exists()
    matches = list(local_files(pattern)) if plain else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    seen = look_up([InputFile(match) for match in matches], progress)
    for match, file in zip(matches, seen, strict=True):
        if file is not None:
            yield file
        elif not pattern.endswith("**"):
            below = look_up([InputFile(path) for path in local_files(match)], progress)
            yield from (file for file in below if file is not None)


def look_up(files: Sequence[InputFile], progress: Progress = lambda *_: None) -> Iterator[InputFile | None]:
    """The local files with size and time of the last change, in their order; None for what is no file, as a folder.

    Raises:
        StorageError: one is missing or cannot be read.
    """
    done = 0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="sizes") as pool:
        for chunk in pool.map(lambda part: [_look(file) for file in part], _chunks(files)):
            done += len(chunk)
            progress("sizes", done, len(files))
            yield from chunk


def _look(file: InputFile) -> InputFile | None:
    try:
        status = os.stat(file.path)  # noqa: PTH116 (there may be a million)
    except OSError as error:
        raise StorageError(f"input: {file.path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        return None
    return InputFile(file.path, status.st_size, status.st_mtime_ns, file.sha256)


def _chunks(files: Iterable[InputFile]) -> Iterator[Sequence[InputFile]]:
    iterator = iter(files)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
