"""Errors of storage in words: what is wrong, and what to do about it."""

from __future__ import annotations

import errno
import os
import re
import shutil

_WORDS = {
    errno.ENOSPC: ("the storage is full", "make room on it"),
    errno.EDQUOT: ("your quota is used up", "make room, or ask for more quota (see: quota, lfs quota)"),
    errno.EROFS: ("the storage is read-only", "wait until it is writable again, or ask its administrators"),
    errno.EACCES: ("permission denied", "check who may read and write there"),
    errno.EPERM: ("permission denied", "check who may read and write there"),
    errno.EIO: ("the storage reports an input/output error", "ask its administrators"),
    errno.ESTALE: ("the storage was remounted or the folder was removed", "check the folder"),
    errno.ENAMETOOLONG: ("a name is too long for the storage", "choose shorter names"),
    errno.ELOOP: ("links lead in a circle", "remove one of them"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path"),
    errno.EMFILE: ("too many open files", "raise the limit with environment.setup: ulimit -n 65536"),
}


def what(error: OSError | ValueError) -> str:
    """What is wrong, with the path where the system names one; of a ValueError, what Python has against the path."""
    if isinstance(error, UnicodeError):
        return "the name has characters that file names cannot have"
    if isinstance(error, ValueError):
        return str(error)
    error = _first(error)
    words = _WORDS[error.errno][0] if error.errno in _WORDS else error.strerror or str(error)
    return f"{words} ({error.filename})" if error.filename else words


def next_step(error: OSError) -> str:
    """What to do about it; empty where nothing sensible can be said."""
    error = _first(error)
    return _WORDS[error.errno][1] if error.errno in _WORDS else ""


def _first(error: OSError) -> OSError:
    """The first of the errors that copying a folder collects, as text."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list) and error.args[0]:
        _, copy, why = error.args[0][0]
        number = re.search(r"\[Errno ([0-9]+)\]", str(why))
        if number:
            return OSError(int(number[1]), os.strerror(int(number[1])), str(copy))
    return error
