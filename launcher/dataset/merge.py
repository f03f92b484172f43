"""Few large files of many small ones: which files go together, and joining those that can be joined byte by byte.

Files of one kind in one folder are joined in the order of their shards, up to a size. JSONL and text are joined by
concatenation; so are their gzip and zstd forms, which may consist of several members. Parquet is joined by row groups,
and all files of a folder get one schema (`merge_parquet`). Everything else stays as it is, below the name of its shard.
The same shards give the same files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from curator_slurm.common.atomic_files import replaced
from curator_slurm.common.plain_files import read_plain
from curator_slurm.launcher.dataset.dataset_record import DatasetFile, remove_temporary
from curator_slurm.launcher.dataset.verify import Good, Progress
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import LIST_BYTES
from curator_slurm.launcher.ranges import format_numbers
from curator_slurm.launcher.runs.shard_records import OutputFile

PLAN = ".merge-plan.json"
PARQUET = ".parquet"
_LINES = (".jsonl", ".ndjson", ".txt")
_COMPRESSED = ("", ".gz", ".zst")
_SUFFIXES = (PARQUET, *(f"{kind}{packed}" for kind in _LINES for packed in _COMPRESSED))
_BLOCK = 4 * 1024 * 1024
Join = Callable[[Sequence[Path], Path], None]


@dataclass(frozen=True)
class Source:
    """A published file of a shard."""

    shard: int
    attempt: str
    path: Path
    file: OutputFile


@dataclass(frozen=True)
class MergedFile:
    """One file of the merged dataset and what it is made of."""

    path: str
    sources: tuple[Source, ...]

    @property
    def shards(self) -> str:
        return format_numbers(source.shard for source in self.sources)


def plan_parts(shards: Mapping[int, Good], target_size: int) -> list[MergedFile]:
    """Which files are joined to which; files that cannot be joined are parts of their own."""
    groups: dict[tuple[str, str], list[Source]] = {}
    parts = []
    for shard in sorted(shards):
        good = shards[shard]
        for file in sorted(good.record.files, key=lambda file: file.path):
            source = Source(shard, good.record.attempt, good.folder / file.path, file)
            suffix = next((suffix for suffix in _SUFFIXES if file.path.endswith(suffix)), None)
            if suffix is None:
                parts.append(MergedFile(f"{good.folder.name}/{file.path}", (source,)))
            else:
                groups.setdefault((str(PurePosixPath(file.path).parent), suffix), []).append(source)
    for (folder, suffix), sources in sorted(groups.items()):
        for number, members in enumerate(_filled(sources, target_size)):
            name = f"part-{number:05d}{suffix}"
            parts.append(MergedFile(name if folder == "." else f"{folder}/{name}", tuple(members)))
    return parts


def _filled(sources: Iterable[Source], target_size: int) -> Iterator[list[Source]]:
    """The sources in groups that reach at most the size; one that is larger is alone."""
    members: list[Source] = []
    size = 0
    for source in sources:
        if members and size + source.file.bytes > target_size:
            yield members
            members, size = [], 0
        members.append(source)
        size += source.file.bytes
    if members:
        yield members


def merge(parts: Sequence[MergedFile], target: Path, progress: Progress) -> list[DatasetFile]:
    """Write all parts into `target`; those that a merge with the same plan has written before are kept.

    Raises:
        StorageError: something cannot be read or written.
        CannotMergeError: Parquet files have no common schema.
    """
    plan = json.dumps([[part.path, [[s.shard, s.attempt, s.file.path] for s in part.sources]] for part in parts])
    try:
        join_parquet = _parquet_joiners(parts)
        _begin(target, plan)
        files, total, written = [], sum(source.file.bytes for part in parts for source in part.sources), 0
        for part in parts:
            files.append(_write(part, target, join_parquet.get(PurePosixPath(part.path).parent, join_bytes)))
            written += sum(source.file.bytes for source in part.sources)
            progress("merging bytes", written, total)
        (target / PLAN).unlink()
    except OSError as error:
        raise StorageError(
            f"outputs cannot be merged into {target}: {error.strerror or error} ({error.filename}); collect again: "
            "it goes on where it ended"
        ) from error
    return files


def _begin(target: Path, plan: str) -> None:
    """Keep what is there if it is part of the same plan, else start anew."""
    try:
        same = read_plain(target / PLAN, LIST_BYTES) == plan.encode()
    except FileNotFoundError:
        same = False
    if same:
        for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
            remove_temporary(folder)
        return
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    (target / PLAN).write_text(plan, encoding="utf-8")


def _parquet_joiners(parts: Sequence[MergedFile]) -> dict[PurePosixPath, Join]:
    """For each folder how Parquet files are joined there: all parts get the one schema of all their sources.

    Raises:
        CannotMergeError: the files of a folder have no common schema.
    """
    sources: dict[PurePosixPath, list[Path]] = {}
    for part in parts:
        if part.path.endswith(PARQUET):
            folder = PurePosixPath(part.path).parent
            sources.setdefault(folder, []).extend(source.path for source in part.sources)
    if not sources:
        return {}
    from curator_slurm.launcher.dataset.merge_parquet import common_schema, join_parquet

    return {folder: partial(join_parquet, schema=common_schema(files)) for folder, files in sources.items()}


def _write(part: MergedFile, target: Path, join_parquet: Join) -> DatasetFile:
    goal = target / part.path
    rows = [source.file.rows for source in part.sources]
    known = None if None in rows else sum(row or 0 for row in rows)
    if not goal.exists():
        goal.parent.mkdir(parents=True, exist_ok=True)
        with replaced(goal) as temporary:
            join = join_parquet if part.path.endswith(PARQUET) else _join_function(part)
            join([source.path for source in part.sources], temporary)
    attempt = part.sources[0].attempt if len(part.sources) == 1 else None
    return DatasetFile(part.path, goal.stat().st_size, known, part.shards, attempt)


def _join_function(part: MergedFile) -> Join:
    ends_lines = part.path.endswith(_LINES) and len(part.sources) > 1
    return join_lines if ends_lines else join_bytes


def join_bytes(sources: Sequence[Path], goal: Path) -> None:
    """One file after the other."""
    with goal.open("wb") as out:
        for source in sources:
            with source.open("rb") as stream:
                shutil.copyfileobj(stream, out, _BLOCK)
        out.flush()
        os.fsync(out.fileno())


def join_lines(sources: Sequence[Path], goal: Path) -> None:
    """`join_bytes` for text: a file whose last line has no end gets one."""
    with goal.open("wb") as out:
        for source in sources:
            last = b"\n"
            with source.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    out.write(block)
                    last = block[-1:]
            if last != b"\n":
                out.write(b"\n")
        out.flush()
        os.fsync(out.fileno())
