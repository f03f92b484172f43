"""The folders of runs by their names alone: quick enough for what a shell completes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from curator_slurm.launcher.runs import owners

RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[a-z0-9]{4}")


def user() -> str:
    """Who we are, as runs are labelled."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def parents_of(folder: Path, name: str) -> list[Path]:
    """Where runs of a name are: in a shared folder the name may belong to somebody else."""
    return [folder / name, folder / f"{name}.{user()}"]


def run_directories(folders: Iterable[Path], name: str = "*", *, of_others: bool = False) -> list[Path]:
    """Directories that have the name of a run, newest first; other users' only if they are asked for."""
    found: dict[Path, None] = {}
    for folder in folders:
        for parent in _subdirectories(folder) if name == "*" else parents_of(folder, name):
            for path in _subdirectories(parent):
                if RUN_ID.fullmatch(path.name) and (of_others or owners.is_own(path)):
                    found[path] = None
    return sorted(found, key=lambda path: path.name, reverse=True)


def _subdirectories(folder: Path) -> Iterator[Path]:
    """Folders in `folder` that we may enter; none where it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir() and os.access(entry.path, os.R_OK | os.X_OK):
                    yield Path(entry.path)
