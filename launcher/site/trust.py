"""Whose site files count: they can run code as whoever uses them (`environment.setup`), as a shell's profile can.

A file counts if it belongs to the user, to root, or to whoever installed curator-slurm, whose code runs here anyway,
and if nobody else may write it. What is checked is what is read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from curator_slurm.common.plain_files import open_plain, read_limited
from curator_slurm.launcher.runs.owners import user_name
from curator_slurm.launcher.shell import quote

MAX_BYTES = 4 << 20
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """A file that somebody else may have written; says who, and what to do."""

    def __init__(self, message: str, *, foreign: bool) -> None:
        super().__init__(message)
        self.foreign = foreign
        """Whether it belongs to somebody else: then others, too, could have put it there."""


def read_trusted(path: Path) -> bytes:
    """The content of a site file.

    Raises:
        UntrustedError: somebody else may have written it.
        OSError: it cannot be read, or is no regular file.
    """
    link = path.lstat()
    with open_plain(path) as stream:
        found = os.fstat(stream.fileno())
        for each in (link, found):
            if each.st_uid not in trusted_owners():
                raise UntrustedError(
                    f"belongs to {user_name(each.st_uid)}, and a site file can run commands as you: it counts only if "
                    "it belongs to you, to root, or to whoever installed curator-slurm. If you trust it, make a copy "
                    "of your own",
                    foreign=True,
                )
        if found.st_mode & _OTHERS_WRITE:
            raise UntrustedError(
                f"may be written by others (mode {stat.S_IMODE(found.st_mode):04o}), who could run commands as you. "
                f"If you trust what is in it: chmod go-w {quote(str(path))}",
                foreign=False,
            )
        return read_limited(stream, path, MAX_BYTES)


def trusted_owners() -> set[int]:
    """Whose files count here."""
    return {0, os.geteuid(), Path(__file__).stat().st_uid}
