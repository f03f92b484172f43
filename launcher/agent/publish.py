"""Staged outputs become the run's outputs: by one rename, once."""

from __future__ import annotations

import contextlib
import errno
import secrets
import shutil
from pathlib import Path

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.files import sync_directory


def publish(staging: Path, target: Path) -> Path | None:
    """Move the folder `staging` to `target`, which appears whole or not at all.

    On another file system the files are copied next to the target first. An empty staging folder is removed and
    None is returned: the pipeline wrote nothing there.

    Raises:
        StorageError: the target exists already and is not an empty folder, or cannot be written.
    """
    if not staging.is_dir():
        return None
    if not any(staging.iterdir()):
        staging.rmdir()
        return None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            target.rmdir()
        try:
            staging.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(staging, target)
        sync_directory(target.parent)
    except OSError as error:
        raise StorageError(
            f"outputs cannot be published to {target}: {error.strerror}; they are complete in {staging}"
        ) from error
    return target


def _copy(staging: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        shutil.copytree(staging, temporary, symlinks=True)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(staging, ignore_errors=True)
