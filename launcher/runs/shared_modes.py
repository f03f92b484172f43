"""Published files belong to the project: they get what files have that are made in their place.

Outputs are made in the run directory, which is private, and published by a rename, which changes neither group nor
mode. So they are given, before the rename, what a folder passes on to what is made in it: its group where it has the
setgid bit (and the bit), and its default ACL; the rest is the user's umask.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

log = logging.getLogger("curator_slurm")

_DEFAULT, _ACCESS = "system.posix_acl_default", "system.posix_acl_access"
_NO_ACL = (errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES, errno.EINVAL)
_USER_OBJ, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
_ENTRY = struct.Struct("<HHI")
_VERSION_BYTES = 4


@dataclass(frozen=True)
class Passed:
    """What a folder passes on; `top` is the folder itself where it is to be replaced, and so taken over as it is."""

    umask: int
    group: int
    setgid: bool
    acl: bytes | None = None
    top: Top | None = None

    def folder_mode(self) -> int:
        return (0o777 & ~self.umask) | (stat.S_ISGID if self.setgid else 0)


@dataclass(frozen=True)
class Top:
    """A folder that was made for outputs before they were there."""

    mode: int
    group: int
    acl: bytes | None


def passed_on(place: Path, umask: int) -> Passed:
    """What is passed on at `place`: by the folder that is there already, else by the nearest one above."""
    for folder in (place, *place.parents):
        try:
            found = folder.stat()
        except FileNotFoundError:
            continue
        setgid = bool(found.st_mode & stat.S_ISGID)
        top = Top(stat.S_IMODE(found.st_mode), found.st_gid, _acl(folder, _ACCESS)) if folder == place else None
        return Passed(umask, found.st_gid if setgid else os.getegid(), setgid, _acl(folder, _DEFAULT), top)
    return Passed(umask, os.getegid(), setgid=False)


def current_umask() -> int:
    """The umask of this process. It is changed for a moment: call this before there are threads that make files."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def make_folders(folder: Path, umask: int) -> None:
    """Make a folder and those above it, whatever the umask of this process is: that of the user counts."""
    for each in reversed((folder, *folder.parents)):
        if each.exists():
            continue
        passed = passed_on(each, umask)
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=0o777 if passed.acl else 0o700)
            if not passed.acl:
                each.chmod(passed.folder_mode())


def hand_over(tree: Path, passed: Passed) -> None:
    """Give a private folder and all in it to where it will be; the folder itself is opened last.

    Modes of files and folders below are those that their programs have given them. A group that the user may not give
    stays as it was, with a warning.
    """
    denied: list[Path] = []
    for path, found in _below(str(tree)):
        if found.st_gid != passed.group or passed.acl is not None:
            _give(Path(path), found, passed, denied)
        if stat.S_ISDIR(found.st_mode) and passed.setgid:
            Path(path).chmod(stat.S_IMODE(found.st_mode) | stat.S_ISGID)
    _open(tree, passed, denied)
    if denied:
        log.warning("the group of %s cannot be changed to that of its folder: you are not in it", denied[0])


def _below(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """All that is below a folder, as far as it can be read, with its status; a folder before what is in it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        found = entry.stat(follow_symlinks=False)
        yield entry.path, found
        if stat.S_ISDIR(found.st_mode):
            yield from _below(entry.path)


def _open(tree: Path, passed: Passed, denied: list[Path]) -> None:
    """The folder itself gets the mode of a new one, or that of the one in whose place it comes."""
    top = passed.top
    _give(tree, tree.lstat(), passed if top is None else replace(passed, group=top.group), denied)
    if top is not None:
        tree.chmod(top.mode)
        if top.acl is not None:
            with _ignoring_no_acl():
                os.setxattr(tree, _ACCESS, top.acl)
    elif passed.acl is None:
        tree.chmod(passed.folder_mode())
    else:
        with _ignoring_no_acl():
            os.setxattr(tree, _ACCESS, _limited(passed.acl, 0o777))


def _give(path: Path, found: os.stat_result, passed: Passed, denied: list[Path]) -> None:
    if found.st_gid != passed.group:
        try:
            os.chown(path, -1, passed.group, follow_symlinks=False)
        except PermissionError:
            denied.append(path)
        else:
            if not stat.S_ISLNK(found.st_mode):
                path.chmod(stat.S_IMODE(found.st_mode))  # chown may have cleared bits
    if passed.acl is not None and not stat.S_ISLNK(found.st_mode):
        is_folder = stat.S_ISDIR(found.st_mode)
        mode = stat.S_IMODE(found.st_mode) & 0o777
        bits = 0o777 if is_folder or mode & stat.S_IXUSR else 0o666
        bits = bits if mode == bits & ~passed.umask else mode  # its program has chosen another
        with _ignoring_no_acl():
            os.setxattr(path, _ACCESS, _limited(passed.acl, bits))
            if is_folder:
                os.setxattr(path, _DEFAULT, passed.acl)


def _acl(folder: Path, name: str) -> bytes | None:
    with _ignoring_no_acl():
        return os.getxattr(folder, name)
    return None


@contextlib.contextmanager
def _ignoring_no_acl() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ACL:
            raise


def _limited(acl: bytes, bits: int) -> bytes:
    """The ACL of something that is made with these mode bits in a folder with this default ACL (acl(5))."""
    entries = list(_ENTRY.iter_unpack(acl[_VERSION_BYTES:]))
    group = _MASK if any(tag == _MASK for tag, _, _ in entries) else _GROUP_OBJ
    kept = {_USER_OBJ: bits >> 6 & 7, group: bits >> 3 & 7, _OTHER: bits & 7}
    limited = (_ENTRY.pack(tag, permissions & kept.get(tag, 7), name) for tag, permissions, name in entries)
    return acl[:_VERSION_BYTES] + b"".join(limited)
