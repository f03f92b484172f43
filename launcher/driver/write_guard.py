"""Refuses changes to the file system while a pipeline is only looked at: constructors make and remove folders, too."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_OF_A_PATH = frozenset(
    ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown", "os.symlink", "os.link", "os.rename")
)
_TARGET_IS_SECOND = frozenset(("os.symlink", "os.link"))
_FOLDER_OF_PATH = {"os.mkdir": 2, "os.remove": 1, "os.rmdir": 1, "os.rename": 2, "os.chmod": 2, "os.symlink": 2}
"""Event -> where its arguments have the descriptor of the folder that a relative path begins at."""
_HARMLESS = ("/dev/", "/proc/self/")


class WriteGuard:
    """Lets this process, from `install` on, write below `scratch` only; what it refused is in `refused`.

    It sees what goes through Python, and cannot be taken off again.
    """

    def __init__(self, scratch: Path) -> None:
        self.refused: list[str] = []
        self._allowed = (f"{scratch}/", *_HARMLESS)

    def install(self) -> None:
        """Begin to refuse."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & _WRITES:
                return
            path = arguments[0]
        elif event in _OF_A_PATH:
            path = arguments[1 if event in _TARGET_IS_SECOND else 0]
        else:
            return
        if not isinstance(path, (str, bytes, os.PathLike)):
            return  # a descriptor: it was opened before
        where = os.path.join(_folder(event, arguments), os.path.normpath(os.fsdecode(path)))  # noqa: PTH118
        if where.startswith(self._allowed) or (event == "os.mkdir" and os.path.lexists(where)):
            return
        self.refused.append(where)
        raise PermissionError(errno.EPERM, "nothing is written while the pipeline is only looked at", where)


def _folder(event: str, arguments: tuple[Any, ...]) -> str:
    """Where a relative path begins."""
    index = _FOLDER_OF_PATH.get(event)
    descriptor = arguments[index] if index is not None and index < len(arguments) else -1
    if isinstance(descriptor, int) and descriptor >= 0:
        try:
            return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        except OSError:
            return ""
    return os.getcwd()  # noqa: PTH109
