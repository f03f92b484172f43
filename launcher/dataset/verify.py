"""Whether the outputs of every shard are what its done record says: names, sizes, and checksums where there are any."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.launcher.dataset.in_threads import in_threads
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import parse_json
from curator_slurm.launcher.runs.done_records import read_record
from curator_slurm.launcher.runs.manifest import manifest_counts, manifest_lines
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.shard_records import MARKER, DoneRecord

THREADS = 16
Progress = Callable[[str, int, int], None]
"""Told of what is being done, how far it is, and of how much."""


@dataclass(frozen=True)
class Good:
    """A shard whose outputs are whole, and the folder that they are in."""

    record: DoneRecord
    folder: Path


@dataclass
class Verified:
    """What was found: whole shards by their number, and what is wrong with the others."""

    good: dict[int, Good] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)


def verify(
    run: RunPaths, done: Sequence[int], places: Sequence[Path], progress: Progress, *, checksums: bool = True
) -> Verified:
    """Check these shards against the manifest and their done records; `places` are folders that may hold them.

    Raises:
        StorageError: the manifest cannot be read.
    """
    planned = dict(_planned(run))
    found = Verified()

    def check(shard: int) -> tuple[int, Good | str]:
        try:
            return shard, _check(run, shard, planned.get(shard), places, checksums=checksums)
        except OSError as error:
            return shard, f"{error.filename or 'a file'} cannot be read: {error.strerror or error}"

    for number, (shard, result) in enumerate(in_threads(check, done, THREADS), 1):
        if isinstance(result, Good):
            found.good[shard] = result
        else:
            found.problems[shard] = result
        progress("verifying shards", number, len(done))
    return found


def _planned(run: RunPaths) -> Iterator[tuple[int, tuple[int, int]]]:
    """Shard -> number and bytes of its input files, by the manifest."""
    try:
        for line in manifest_lines(run.manifest):
            if counts := manifest_counts(line):
                yield counts
                continue
            value = parse_json(line)
            yield int(value["index"]), (len(value["files"]), int(value.get("bytes") or 0))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"the manifest {run.manifest} cannot be read: {error}") from error


def _check(
    run: RunPaths, shard: int, planned: tuple[int, int] | None, places: Sequence[Path], *, checksums: bool
) -> Good | str:
    try:
        text, record = read_record(run.done(shard))
    except FileNotFoundError:
        return "it has no done file"
    except ValueError as error:
        return f"its done file is damaged: {error}"
    if record.shard != shard:
        return "its done file is of another shard"
    if planned is None:
        return "it is not in the manifest"
    if (record.input_files, record.input_bytes) != planned:
        return (
            f"it read {several(record.input_files, 'file')} of {record.input_bytes:,} bytes; "
            f"the manifest has {planned[0]:,} of {planned[1]:,}"
        )
    home = run.shard_outputs(shard)
    folder = next((folder for place in places if _holds(folder := place / home.name, text, record)), None)
    if folder is None:
        return f"its outputs of attempt {record.attempt} are not in {home}"
    return _compare(folder, record, checksums=checksums) or Good(record, folder)


def _holds(folder: Path, text: bytes, record: DoneRecord) -> bool:
    """Whether these are the outputs of this attempt, not the mark that collect leaves where it took them away."""
    try:
        _, marker = read_record(folder / MARKER, (text, record))
    except (OSError, ValueError):
        return False
    return marker.attempt == record.attempt and not marker.extra.get("moved")


def _compare(folder: Path, record: DoneRecord, *, checksums: bool) -> str:
    """What differs between files and record; empty where nothing does."""
    there = dict(sizes(folder))
    listed = {file.path: file for file in record.files}
    if missing := sorted(listed.keys() - there.keys()):
        return f"{folder / missing[0]} is missing" + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
    if extra := sorted(there.keys() - listed.keys()):
        return f"{folder / extra[0]} is not in its record" + (f", nor {len(extra) - 1} more" if len(extra) > 1 else "")
    for name, file in listed.items():
        if there[name] != file.bytes:
            return f"{folder / name} has {there[name]:,} bytes, and should have {file.bytes:,}"
        if checksums and file.sha256 is not None and sha256_of(folder / name) != file.sha256:
            return f"{folder / name} has another content than its checksum says"
    return ""


def sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Path below `folder` and bytes of every file, without the marker."""
    return _sizes(str(folder), "")


def _sizes(folder: str, below: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = below + entry.name
            if entry.is_dir():
                if not entry.is_symlink():
                    yield from _sizes(entry.path, f"{relative}/")
            elif relative != MARKER:
                yield relative, entry.stat().st_size


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
