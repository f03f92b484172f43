"""Staged outputs of a run without shards become its outputs: by one rename, once.

Before the rename the attempt notes which folder (its inode number) is about to become the outputs. By that note every
later attempt, and this one after an answer that was lost, knows whose outputs are in the place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path
from typing import Any

from curator_slurm.common.atomic_files import sync_folder
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.agent.inventory import sync
from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import read_json, write_json
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths


def publisher_of(run: RunPaths, target: Path) -> str | None:
    """The attempt of this run whose outputs are in the folder `target`; None where it is not of this run."""
    try:
        inode = target.stat().st_ino
    except OSError:
        return None
    for attempt in run.existing_attempts():
        note = _read_note(attempt)
        if (note.get("inode"), note.get("target")) == (inode, str(target)):
            return attempt.name
    return None


def publish(attempt: AttemptPaths, target: Path) -> Path | None:
    """Move the staged outputs to `target`, which appears whole or not at all; or find that an attempt was first.

    On another file system the files are copied next to the target first. An empty staging folder is removed and
    None is returned: the pipeline wrote nothing there.

    Raises:
        StorageError: the target exists already and is not an empty folder, or cannot be written.
    """
    staging = attempt.outputs
    if publisher_of(attempt.run, target) is not None:
        shutil.rmtree(staging, ignore_errors=True)
        return target
    if not staging.is_dir():
        return None
    if not any(staging.iterdir()):
        staging.rmdir()
        return None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        _move(attempt, target)
        sync_folder(target.parent)
    except OSError as error:
        if publisher_of(attempt.run, target) is None:
            raise StorageError(
                f"outputs cannot be published to {target}: {_reason(error)}; they are complete in {staging}"
            ) from error
    shutil.rmtree(staging, ignore_errors=True)
    return target


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
        return "it is there already, and not empty"
    return storage_errors.what(error)


def _move(attempt: AttemptPaths, target: Path) -> None:
    _note(attempt, attempt.outputs, target)
    try:
        attempt.outputs.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(attempt, target)


def _copy(attempt: AttemptPaths, target: Path) -> None:
    """Copy to a folder beside the target, make it durable, rename it; copies of attempts that died are removed."""
    mark = f".{target.name}.{attempt.run.run_id}."
    for left in target.parent.glob(f"{mark}*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = target.with_name(f"{mark}{attempt.name}.tmp")
    try:
        shutil.copytree(attempt.outputs, temporary, symlinks=True)
        for folder, _, names in os.walk(temporary):
            for name in names:
                if not (path := Path(folder, name)).is_symlink():
                    sync(path)
            sync(Path(folder))
        _note(attempt, temporary, target)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _note(attempt: AttemptPaths, folder: Path, target: Path) -> None:
    note = {"schema": 1, "inode": folder.stat().st_ino, "target": str(target)}
    write_json(attempt.publishing, note)


def _read_note(attempt: AttemptPaths) -> dict[str, Any]:
    try:
        value = read_json(attempt.publishing)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
