"""The package beside run directories, for images that do not have it: one folder for each content, shared by runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import curator_slurm
from curator_slurm.launcher.runs.paths import RunPaths

FOLDER = ".package"
"""Beside the run directories of a name."""
LINK = "package"
"""In a run directory: to the package as it was when the run was submitted."""
_SUFFIXES = frozenset({".py", ".yaml", ".j2", ".sh", ".typed"})
_CACHE = "__pycache__"
_UNUSED_S = 86400.0
_DOOMED = ".removing-"


def give_package(run: RunPaths) -> None:
    """Let the run directory lead to a copy of this very package; nothing is done where it leads to one already.

    Raises:
        OSError: it cannot be written.
    """
    link = run.root / LINK
    if link.is_dir():
        return
    with contextlib.suppress(FileNotFoundError):
        link.unlink()  # a site deletes files that nobody has used for months
    folder = _placed(run.root.parent / FOLDER)
    link.symlink_to(Path("..", FOLDER, folder.name))


def remove_unused(parent: Path, now: float) -> None:
    """Remove the packages beside the run directories of this folder that none of these leads to.

    One that was given to a run within a day stays, because that run may not have its link yet. What cannot be removed
    is left for the next time.
    """
    old = [folder for folder in _entries(parent / FOLDER) if now - _changed(folder, now) > _UNUSED_S]
    if not old:
        return
    used = {_target(run / LINK) for run in _entries(parent)}
    for folder in old:
        if folder.name in used:
            continue
        doomed = folder.with_name(f"{_DOOMED}{folder.name.removeprefix(_DOOMED)}")
        with contextlib.suppress(OSError):
            folder.rename(doomed)  # nobody finds half of it
            for each, _, _ in os.walk(doomed):
                os.chmod(each, 0o700)  # noqa: PTH101
        shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(OSError):
        (parent / FOLDER).rmdir()


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _changed(folder: Path, now: float) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return now


def _target(link: Path) -> str:
    try:
        return link.readlink().name
    except OSError:
        return ""


def _placed(parent: Path) -> Path:
    """The folder with the package as it is now, made once: it appears by one rename."""
    files = dict(_files())
    digest = sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    folder = parent / digest.hexdigest()[:16]
    if folder.is_dir():
        with contextlib.suppress(OSError):
            os.utime(folder)  # it is used, although no run leads there yet
        return folder
    parent.mkdir(mode=0o700, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        _write(temporary, files)
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            os.rename(temporary, folder)  # noqa: PTH104 (not over a folder of somebody who was faster)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _files() -> Iterator[tuple[str, bytes]]:
    """Name below the folder of packages -> content, in the order of names."""
    root = Path(curator_slurm.__file__).parent
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name != _CACHE)
        found += [Path(folder, name) for name in names if Path(name).suffix in _SUFFIXES]
    for path in sorted(found):
        yield str(path.relative_to(root.parent)), path.read_bytes()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Files that nobody changes any more; compiled modules of the image's Python may go beside them."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)
    for parent in {(folder / name).parent for name in files}:
        (parent / _CACHE).mkdir(mode=0o700, exist_ok=True)
        parent.chmod(0o555)
    folder.chmod(0o700)
