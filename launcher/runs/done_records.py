"""Done files: which shards are finished, read in one look at a folder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from curator_slurm.common.plain_files import read_plain
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import LIST_BYTES, is_there, parse_json, read_json, write_json
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.shard_records import MARKER, MOST_SHARDS, DoneRecord

_SUFFIX = ".done.json"
_FOLDER = "shard-"


def done_shards(run: RunPaths) -> dict[int, float]:
    """Finished shards and when they were; one that was published, but whose element died then, gets its done file.

    Raises:
        StorageError: the folder of done files may not be read, so that nobody can tell what is left.
    """
    done = _done_files(run)
    for shard in published_shards(run) - done.keys():
        record = recover_done(run, shard)
        if record is not None:
            done[shard] = record.published
    return done


def _done_files(run: RunPaths) -> dict[int, float]:
    found = {}
    try:
        with os.scandir(run.shards) as entries:
            for entry in entries:
                number = _shard_number(entry.name.removesuffix(_SUFFIX))
                if number is not None and entry.name.endswith(_SUFFIX):
                    with contextlib.suppress(FileNotFoundError):
                        if stat.S_ISREG((status := entry.stat()).st_mode):
                            found[number] = status.st_mtime
    except FileNotFoundError:
        return found
    except OSError as error:
        raise StorageError(f"the run cannot be read: {storage_errors.what(error)}") from error
    return found


def _shard_number(text: str) -> int | None:
    """The index of a shard in the name of a file or folder."""
    number = whole_number(text)
    return number if number is not None and number < MOST_SHARDS else None


def published_shards(run: RunPaths) -> set[int]:
    """Shards whose outputs are in their place, as it seems from names."""
    if run.target is not None:
        return {0} if is_there(run.target / MARKER) else set()
    with contextlib.suppress(OSError), os.scandir(run.outputs) as entries:
        names = (entry.name.removeprefix(_FOLDER) for entry in entries if entry.name.startswith(_FOLDER))
        return {number for number in map(_shard_number, names) if number is not None}
    return set()


def read_done(run: RunPaths, shard: int) -> DoneRecord | None:
    """The done record of a shard, None where it is not done.

    Raises:
        ValueError: its done file is damaged.
    """
    value = read_json(run.done(shard), LIST_BYTES)
    return None if value is None else DoneRecord.from_json(value)


def read_record(path: Path, known: tuple[bytes, DoneRecord] | None = None) -> tuple[bytes, DoneRecord]:
    """The text of a done file or marker, and its record; where the text is the `known` one, it is not parsed again.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    text = read_plain(path, LIST_BYTES)
    return known if known is not None and known[0] == text else (text, DoneRecord.from_json(parse_json(text)))


def read_marker(folder: Path) -> DoneRecord | None:
    """The done record that lies in published outputs; None where there is none that can be read."""
    try:
        value = read_json(folder / MARKER, LIST_BYTES)
        return None if value is None else DoneRecord.from_json(value)
    except (OSError, ValueError):
        return None


def published_record(run: RunPaths, shard: int) -> DoneRecord | None:
    """The marker in the published outputs of a shard of this run; None where none is seen."""
    record = read_marker(run.shard_outputs(shard))
    return record if record is not None and (record.run_id, record.shard) == (run.run_id, shard) else None


def recover_done(run: RunPaths, shard: int) -> DoneRecord | None:
    """Write the done file of a published shard again, from the marker in its outputs; None where there is none."""
    record = published_record(run, shard)
    if record is None:
        return None
    if is_own(run.root):
        with contextlib.suppress(OSError):  # a reader without the right to write knows it all the same
            write_json(run.done(shard), record.to_json())
    return record


def missing(total: int, done: Iterable[int]) -> list[int]:
    """Shards that are not done."""
    finished = set(done)
    return [shard for shard in range(total) if shard not in finished]
