"""The templates of a site, read as what they are: code that runs as whoever submits.

A folder has a template for each of ours that it changes, under the same name, and in `originals/` the blocks as they
were when it was written. The same is asked of these files as of site files, and of the folder, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.runs.owners import user_name
from curator_slurm.launcher.shell import quote
from curator_slurm.launcher.site.trust import UntrustedError, read_trusted, trusted_owners

SUFFIX = ".j2"
ORIGINALS = "originals"
KEY = "templates.folder"


@dataclass(frozen=True)
class TemplateFile:
    """One template of a site, and the blocks of ours as they were when it was written."""

    name: str
    path: Path
    text: str = field(repr=False)
    originals: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_templates(folder: Path, where: str) -> list[TemplateFile]:
    """All templates in `folder`, which the site file names at `where`.

    Raises:
        SpecError: it cannot be read, or somebody else may have written what is in it.
    """
    try:
        _check_folder(folder)
        originals = {path.stem: _text(path) for path in _templates(folder / ORIGINALS)}
        return [TemplateFile(path.name, path, _text(path), originals) for path in _templates(folder)]
    except UntrustedError as error:
        raise SpecError([SpecProblem(KEY, f"{error}", where)], where) from None
    except (OSError, UnicodeDecodeError) as error:
        what = storage_errors.what(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([SpecProblem(KEY, f"{folder} cannot be read: {what}", where)], where) from None


def _templates(folder: Path) -> Iterator[Path]:
    """Its files that are templates; whatever else is there does not count."""
    if folder.name != ORIGINALS or folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)


def _text(path: Path) -> str:
    try:
        return read_trusted(path).decode()
    except UntrustedError as error:
        raise UntrustedError(f"{path} {error}", foreign=error.foreign) from None


def _check_folder(folder: Path) -> None:
    """Others could take a file away, or put one there."""
    found = os.stat(folder)  # noqa: PTH116 (a link may lead there)
    if found.st_uid not in trusted_owners():
        owner = user_name(found.st_uid)
        raise UntrustedError(f"{folder} belongs to {owner}, whose templates could run commands as you", foreign=True)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise UntrustedError(
            f"{folder} may be written by others (mode {mode:04o}): chmod go-w {quote(str(folder))}", foreign=False
        )
