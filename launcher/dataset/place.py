"""Brings folders of shards to their place: by rename, or by copy where that is on another file system.

Each arrives by one rename, so a folder that is there is whole. Where outputs were taken away, a marker stays: a late
second attempt at the shard cannot publish there once more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from curator_slurm.common.atomic_files import sync_folder, write_atomic
from curator_slurm.launcher.dataset.in_threads import in_threads
from curator_slurm.launcher.dataset.verify import Good, Progress
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.runs.done_records import read_marker
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.shard_records import MARKER
from curator_slurm.launcher.runs.shared_modes import Passed, current_umask, hand_over, passed_on

COPIERS = 8
_PART = ".tmp-"


def place(run: RunPaths, shards: Mapping[int, Good], target: Path, progress: Progress) -> None:
    """Put all these shards into `target`, as its own; those that are there already stay.

    Raises:
        StorageError: something cannot be written; what has arrived stays, and the next call goes on from there.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        _remove_parts(target)
        passed = passed_on(target, current_umask())
        passed = replace(passed, top=None)  # of the folder of a shard
        total, arrived = sum(good.record.bytes for good in shards.values()), 0
        for good in in_threads(lambda good: _place_one(run, good, target, passed), list(shards.values()), COPIERS):
            arrived += good.record.bytes
            progress("publishing bytes", arrived, total)
        sync_folder(target)
        sync_folder(run.outputs)
    except OSError as error:
        raise StorageError(
            f"outputs cannot be put into {target}: {error.strerror or error} ({error.filename}).\n"
            "Make room or give yourself the right to write there, and collect again: it goes on where it ended"
        ) from error


def _place_one(run: RunPaths, good: Good, target: Path, passed: Passed) -> Good:
    home = run.shard_outputs(good.record.shard)
    goal = target / home.name
    if good.folder != goal:
        try:
            if good.folder == home:
                _hand_over(good.folder, passed)
            good.folder.rename(goal)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(good.folder, goal, passed)
            return good
    if not _same_folder(home, goal):
        leave_mark(home, good)
    return good


def _same_folder(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def leave_mark(home: Path, good: Good) -> None:
    """Say where a shard's outputs were that they have been taken away; a second attempt's are removed.

    It is not synced: where a power cut takes the mark, the dataset has the outputs, and the next collect marks again.
    """
    marker = read_marker(home)
    if marker is not None and marker.attempt == good.record.attempt:
        return  # marked before, or copied from here
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(mode=0o700)
    mark = replace(good.record, extra={**good.record.extra, "moved": True})
    write_atomic(home / MARKER, json.dumps(mark.to_json()), 0o644, durable=False)


def _hand_over(folder: Path, passed: Passed) -> None:
    """The shard's folder as one of the dataset's: it was private until now, and so was the record that we put in it."""
    with contextlib.suppress(FileNotFoundError):
        (folder / MARKER).chmod(0o666 & ~passed.umask)
    hand_over(folder, passed)


def _copy(source: Path, goal: Path, passed: Passed) -> None:
    """Copy a folder next to its goal, see that all of it arrived, and rename it."""
    part = goal.with_name(f"{_PART}{goal.name}-{secrets.token_hex(4)}")
    try:
        shutil.copytree(source, part, symlinks=True, copy_function=_copy_file)
        _hand_over(part, passed)
        part.rename(goal)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _copy_file(source: str, goal: str) -> None:
    shutil.copyfile(source, goal, follow_symlinks=False)
    if Path(goal).is_symlink():
        return
    shutil.copymode(source, goal)
    descriptor = os.open(goal, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        if os.fstat(descriptor).st_size != Path(source).stat().st_size:
            raise OSError(errno.EIO, "a copy has another size than its source", goal)
    finally:
        os.close(descriptor)


def _remove_parts(target: Path) -> None:
    """Remove what a copy that was killed left behind."""
    for path in target.glob(f"{_PART}*"):
        shutil.rmtree(path, ignore_errors=True)
