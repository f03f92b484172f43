"""shards/manifest.jsonl: which files make up which shard, one line per shard, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import stream_atomic
from curator_slurm.launcher.shards.records import Shard


def write_manifest(path: Path, shards: Iterable[Shard]) -> None:
    """Write all lines; the file appears whole."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with stream_atomic(path, mode=0o600) as stream:
        for shard in shards:
            stream.write(shard.to_line().encode() + b"\n")


def read_manifest(path: Path) -> Iterator[Shard]:
    """All shards, one after the other.

    Raises:
        StorageError: it cannot be read, or a line is not what was written.
    """
    for number, line in enumerate(_lines(path)):
        yield _parse(path, number, line)


def read_shard(path: Path, index: int) -> Shard:
    """One shard, without parsing the lines before it.

    Raises:
        StorageError: it cannot be read, or has no such line.
    """
    line = next(islice(_lines(path), index, None), None)
    if line is None:
        raise StorageError(f"{path} has no shard {index}")
    return _parse(path, index, line)


def count_shards(path: Path) -> int:
    """How many shards there are."""
    return sum(1 for _ in _lines(path))


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from stream
    except OSError as error:
        raise StorageError(f"the shard manifest {path} cannot be read: {error.strerror or error}") from error


def _parse(path: Path, number: int, line: bytes) -> Shard:
    try:
        shard = Shard.from_line(line.decode())
        if shard.index != number:
            raise ValueError(f"shard {shard.index} stands in its place")
    except ValueError as error:
        raise StorageError(f"{path}:{number + 1} is damaged: {error}") from error
    return shard
