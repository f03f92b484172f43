"""Whose a run directory is: nothing of another user's is acted on, and nothing that others may have written.

A run directory is believed by its owner and mode, not by its place: whoever may rename the folders above it can put
another in its place, but none that belongs to us.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from curator_slurm.common.plain_files import open_plain, read_limited
from curator_slurm.launcher.errors import ForeignRunError, StorageError

if TYPE_CHECKING:
    from curator_slurm.launcher.runs.paths import RunPaths

_MOST_BYTES = 16 << 20
"""Of a plan."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def user_name(uid: int) -> str:
    """The name of a user, as far as this machine knows it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def owner_of(path: Path) -> str | None:
    """The name of the owner of what lies there; None where that cannot be seen."""
    try:
        return user_name(path.stat().st_uid)
    except OSError:
        return None


def is_own(path: Path) -> bool:
    """Whether it belongs to us, and, of a symbolic link, the link too (or root made it)."""
    try:
        link, there = path.lstat().st_uid, path.stat().st_uid
    except OSError:
        return False
    return there == os.geteuid() and link in (there, 0)


def whose(run: RunPaths) -> str:
    """A sentence about a run of somebody else; empty for one of ours."""
    owner = owner_of(run.root)
    if owner is None or is_own(run.root):
        return ""
    return f"run {run.run_id} belongs to {owner}: you can read it, but not act on it"


def check_own(run: RunPaths, verb: str) -> None:
    """Refuse to act on a run that is not ours, or that others may have written.

    Raises:
        ForeignRunError: it belongs to somebody else, or somebody else may have changed it.
    """
    owner = owner_of(run.root)
    if owner is not None and not is_own(run.root):
        raise ForeignRunError(
            f"run {run.run_id} in {run.root} belongs to {owner}, and you are {user_name(os.geteuid())}: `{verb}` acts "
            f"on your own runs alone.\nAsk {owner} to do it, or submit the spec as a run of your own, if you trust it: "
            f"{run.spec}"
        )
    for path in (run.root, run.record, run.plan, run.script, run.submissions):
        with contextlib.suppress(OSError):
            if problem := _problem(path, path.stat()):
                raise ForeignRunError(problem)


def read_own(path: Path) -> str:
    """The text of a file that is ours, and that nobody else may write: what is checked is what is read.

    Raises:
        ForeignRunError: it belongs to somebody else, or somebody else may have changed it.
        OSError: it cannot be read.
        ValueError: it is no text.
    """
    with open_plain(path) as stream:
        if problem := _problem(path, os.fstat(stream.fileno())):
            raise ForeignRunError(problem)
        return read_limited(stream, path, _MOST_BYTES).decode("utf-8")


def make_private(folder: Path, mine: str) -> None:
    """Make a folder that others cannot enter; from one of ours that is there already, take their right to write.

    Folders above it are made such that others may enter them, and write nothing. `mine` says in a message what to do
    where the folder cannot be ours.

    Raises:
        StorageError: it belongs to somebody else, or its storage gives files another owner or mode.
    """
    for above in reversed(folder.parents):
        if not above.exists():
            with contextlib.suppress(FileExistsError):
                above.mkdir(mode=0o755)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not is_own(folder):
        raise StorageError(f"{folder} belongs to {owner_of(folder)}, not to {user_name(os.geteuid())}.\n{mine}")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _OTHERS_WRITE:
        folder.chmod(mode & ~_OTHERS_WRITE)
        if folder.stat().st_mode & _OTHERS_WRITE:
            raise StorageError(f"others may write to {folder}, and its storage does not let that be changed.\n{mine}")


def open_to_all(folder: Path) -> Path | None:
    """The first folder on the way to this one in which everybody may rename what others have put there."""
    for each in reversed((folder, *folder.parents)):
        with contextlib.suppress(OSError):
            mode = each.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return each
    return None


def _problem(path: Path, found: os.stat_result) -> str:
    """Why this may not be what we have written; empty where it is."""
    if found.st_uid != os.geteuid():
        return (
            f"{path} belongs to {user_name(found.st_uid)}, although the run is yours: it is not used.\n"
            "See what else was changed there, then submit the spec again"
        )
    if found.st_mode & _OTHERS_WRITE:
        from curator_slurm.launcher.shell import quote

        return (
            f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):04o}), who may have changed the run.\n"
            f"If you trust what is in it: chmod go-w {quote(str(path))}"
        )
    return ""
