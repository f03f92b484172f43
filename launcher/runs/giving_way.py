"""A published dataset gives way to a new one (`output.if_exists: replace`).

At once, where the file system can exchange two names; else in two renames, between which the old one is aside, beside
its place, under a name that says for which run. Whoever comes after a death in between puts it back. It is removed when
the new one is there, and first gets another name, so that a half of it is never put back.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.common import exchange
from curator_slurm.common.atomic_files import sync_folder
from curator_slurm.launcher.files import is_there


@dataclass(frozen=True)
class GivingWay:
    """The place of a dataset that is replaced by one of the run `run_id`."""

    target: Path
    run_id: str

    @property
    def aside(self) -> Path:
        """Where what is replaced is until it is removed."""
        return self.target.with_name(f".{self.target.name}.{self.run_id}.replaced")

    @property
    def _removed(self) -> Path:
        return self.aside.with_name(f"{self.aside.name}-removed")

    def give_way(self, new: Path) -> None:
        """`new` is at the target now, and what was there is aside.

        Raises:
            OSError: it is as before, or after a death: `put_back` makes it so.
        """
        if exchange.exchange(new, self.target):
            new.rename(self.aside)
            return
        self.target.rename(self.aside)
        try:
            new.rename(self.target)
        except OSError:
            with contextlib.suppress(OSError):
                self.aside.rename(self.target)
            raise

    def take_back(self, new: Path) -> None:
        """The reverse: what is aside is at the target again, and what was there is at `new`."""
        if exchange.exchange(self.aside, self.target):
            self.aside.rename(new)
            return
        self.target.rename(new)
        self.aside.rename(self.target)

    def put_back(self, is_ours: Callable[[], bool]) -> None:
        """What is aside returns to its place where nothing is there; it is removed where our own dataset is.

        Anybody may do this at any time: who is just replacing it finds it there, and begins again.
        """
        shutil.rmtree(self._removed, ignore_errors=True)
        if not is_there(self.aside):
            return
        try:
            self.aside.rename(self.target)
            sync_folder(self.target.parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR) and is_ours():
                self.drop()

    def drop(self) -> None:
        """Remove what is aside."""
        with contextlib.suppress(OSError):
            self.aside.rename(self._removed)
        shutil.rmtree(self._removed, ignore_errors=True)
