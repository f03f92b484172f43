"""The folder of archives on shared storage: one for each content, private, shared by all runs of a user."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.owners import make_private
from curator_slurm.launcher.staging.archive import ChangedError, index_of, write_archive
from curator_slurm.launcher.staging.archive_format import best_format
from curator_slurm.launcher.staging.program import NAME, write_program
from curator_slurm.launcher.staging.tree import Tree, tree_of

INDEX = "index.json"
_PREFIX = ".staged-"
_NEW = ".new-"
_PACKS_S = 7200.0
"""How long another run may pack."""
_TRIES = 2
_DAY = 86400.0


@dataclass(frozen=True)
class Packed:
    """An archive, and how it came about."""

    folder: Path
    tree: Tree
    seconds: float
    """Of packing; 0 where it was there already."""

    @property
    def size(self) -> int:
        """Bytes of the compressed file."""
        return sum(path.stat().st_size for path in self.folder.glob("archive.*"))


def folder_of(runs: Path) -> Path:
    """Where a user's archives are, beside the runs."""
    return runs / f"{_PREFIX}{os.geteuid()}"


def find(runs: Path, key: str) -> Path | None:
    """The archive of a key, which counts as used now; None where there is none."""
    folder = folder_of(runs) / key
    if not key or not (folder / INDEX).is_file():
        return None
    with contextlib.suppress(OSError):
        os.utime(folder / INDEX)
    return folder


def pack(runs: Path, tree: Tree, python: str | None, *, in_image: bool = False) -> Packed:
    """Pack a tree, unless somebody has done so: one run at a time, all others wait.

    Raises:
        OSError: something cannot be read or written, or changes all the time.
        CuratorSlurmError: the folder is not ours, or another run packs for hours.
    """
    store = folder_of(runs)
    make_private(store, "Name another folder with storage.runs")
    for left in range(_TRIES, 0, -1):
        with RunLock(store / f"{tree.key}.lock", "packing the software", patience_s=_PACKS_S):
            if (found := find(runs, tree.key)) is not None:
                return Packed(found, tree, 0.0)
            began = time.monotonic()
            try:
                folder = _write(store, tree, python, in_image=in_image)
                return Packed(folder, tree, time.monotonic() - began)
            except ChangedError:
                if left == 1:
                    raise
        tree = tree_of(tree.roots)
    raise AssertionError("unreachable")


def _write(store: Path, tree: Tree, python: str | None, *, in_image: bool) -> Path:
    began = time.monotonic()
    kind = best_format(in_image=in_image)
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=store))
    try:
        path = new / f"archive.tar.{kind}"
        written = write_archive(tree, path, kind)
        if tree_of(tree.roots).key != tree.key:
            raise ChangedError("the software was changed while it was packed")
        write_program(new / NAME)
        (new / INDEX).write_text(json.dumps(index_of(tree, written, kind, python, began)))
        for each in new.iterdir():
            each.chmod(0o600)
        _sync(path)
        new.rename(store / tree.key)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return store / tree.key


def _sync(path: Path) -> None:
    """Other nodes read it next."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unused(runs: Path, days: int, most: int, now: float) -> None:
    """Remove archives that no job has used for some days, and the oldest as long as there are too many bytes.

    One that was used within a day stays. Whoever wants a removed one packs it again.
    """
    found = []
    size = 0
    for folder in _entries(folder_of(runs)):
        used, takes = _use_of(folder)
        size += takes
        found.append((used, takes, folder))
    for used, takes, folder in sorted(found):
        is_old = (days > 0 and now - used >= days * _DAY) or folder.name.startswith(_NEW)
        if now - used < _DAY or (not is_old and size <= most):
            continue
        doomed = folder.with_name(f"{_NEW}removed-{folder.name.removeprefix(_NEW)}")
        with contextlib.suppress(OSError):
            folder.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            size -= takes


def _entries(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return []


def _use_of(folder: Path) -> tuple[float, int]:
    used, takes = 0.0, 0
    for path in (folder, folder / INDEX, *folder.glob("archive.*")):
        with contextlib.suppress(OSError):
            seen = path.stat()
            used = max(used, seen.st_mtime)
            takes += seen.st_size
    return used, takes
