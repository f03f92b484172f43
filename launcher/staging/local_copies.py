"""The copies on a node's own disk: whose they are, whether they are whole, and which are removed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

DONE = "done.json"
NEW = ".new-"
SPARE = 64 << 20
"""Bytes that stay free on the disk."""
_CACHE = "__pycache__"


class SharedError(Exception):
    """Why this node uses shared storage."""


def locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_place(place: Path) -> None:
    """The shell has seen that the folder is ours; nobody may put another in its place."""
    seen, above = place.lstat(), place.parent.stat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise SharedError(f"{place} is not a folder of ours that is closed to others")
    if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        raise SharedError(f"everybody may rename what is in {place.parent}: it has no sticky bit")


def is_whole(folder: Path) -> bool:
    """Whether all is there that was unpacked since the node was booted: cleaners of /tmp remove files one by one."""
    try:
        done = json.loads((folder / DONE).read_text())
        return bool(done["boot"] == boot() and [done["entries"], done["bytes"]] == list(count(folder)))
    except (OSError, ValueError, KeyError):
        return False


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def count(folder: Path) -> tuple[int, int]:
    """Entries and bytes, without compiled modules, which imports may add."""
    entries = size = 0
    folders = [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as names:
            for each in names:
                if each.name in (_CACHE, DONE):
                    continue
                entries += 1
                if each.is_dir(follow_symlinks=False):
                    folders.append(each.path)
                else:
                    size += each.stat(follow_symlinks=False).st_size
    return entries, size


def clean(place: Path, but: str, *, most: int, days: int, needed: int = 0) -> None:
    """Remove copies that nobody uses: those that are too old, and the oldest as long as there are too many bytes.

    A run that keeps nothing of its own (0 days) has no say in how long others keep theirs.
    """
    found = []
    for folder in place.iterdir():
        if folder.is_dir() and not folder.is_symlink() and folder.name != but:
            found.append((_used(folder), folder))
    size = needed + sum(_size(folder) for _, folder in found) + (0 if needed else _size(place / but))
    free = shutil.disk_usage(place).free
    for used, folder in sorted(found):
        wanted = size > most or (needed and free < needed + SPARE)
        is_old = days > 0 and time.time() - used >= days * 86400
        if not wanted and not is_old and not folder.name.startswith(NEW):
            continue
        before = _size(folder)
        if _remove_unused(place, folder):
            size -= before
            free = shutil.disk_usage(place).free


def _used(folder: Path) -> float:
    for path in (folder / DONE, folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _size(folder: Path) -> int:
    try:
        return int(json.loads((folder / DONE).read_text())["room"])
    except (OSError, ValueError, KeyError):
        return 0


def _remove_unused(place: Path, folder: Path) -> bool:
    key = folder.name[len(NEW) :].rpartition("-")[0] if folder.name.startswith(NEW) else folder.name
    descriptor = os.open(place / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locked(descriptor, fcntl.LOCK_EX):
            return False
        if os.fstat(descriptor).st_nlink:
            remove(folder)
            with contextlib.suppress(OSError):
                (place / f"{key}.lock").unlink()
        return True
    finally:
        os.close(descriptor)


def release(place: Path, key: str, descriptor: int) -> None:
    """Remove the copy at the end of a run, unless another run uses it."""
    if locked(descriptor, fcntl.LOCK_EX):
        remove(place / key)
        with contextlib.suppress(OSError):
            (place / f"{key}.lock").unlink()
            place.rmdir()


def remove(folder: Path) -> None:
    if not folder.is_dir() or folder.is_symlink():
        return
    with contextlib.suppress(OSError):
        doomed = Path(tempfile.mkdtemp(prefix=NEW + "removed-", dir=folder.parent))
        folder = folder.rename(doomed / folder.name).parent  # nobody finds half of it
    for each, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(each, 0o700)  # noqa: PTH101
    shutil.rmtree(folder, ignore_errors=True)
