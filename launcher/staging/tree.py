"""What is in the folders that are staged, and the key of it: names, sizes, times and modes; no content is read.

A file that was written has another change time (ctime), which nobody can set, so that no copy is ever out of date. One
with several names (uv and conda link their caches) has another with each new name, so its inode counts in place of it:
who replaces a package does not write into it. Compiled modules are no part of the key, because imports write some.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from curator_slurm.launcher.staging.software import Root, is_of_system, place_in

FORMAT = 1
"""Of archives: another one has other keys."""
THREADS = 16
"""Network file systems answer slowly, but many requests at once."""
CACHE = "__pycache__"
_BLOCK = 4096
_ABSOLUTE = re.compile(r"""['"](/[^'"\n]+)['"]""")
_MOST_SHOWN = 1 << 20
"""Bytes of a file that says where editable packages are."""


@dataclass(frozen=True)
class Entry:
    """A file (`source` is where its content is), a folder, or a link (`target` is as it is in the copy)."""

    place: str
    mode: int
    size: int = 0
    changed: tuple[int, int] = (0, 0)
    source: str = ""
    target: str = ""

    @property
    def is_folder(self) -> bool:
        return not self.source and not self.target

    @property
    def is_compiled(self) -> bool:
        return CACHE in self.place.split("/")


@dataclass(frozen=True)
class Tree:
    """All entries in the order of their places, and what they lead to that is not copied."""

    roots: tuple[Root, ...]
    entries: tuple[Entry, ...]
    outside: tuple[str, ...] = ()
    key: str = field(default="", compare=False)

    @property
    def files(self) -> int:
        return sum(1 for entry in self.entries if entry.source)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def room(self) -> int:
        """Bytes that a copy takes on a disk."""
        return sum(-(-entry.size // _BLOCK) * _BLOCK + (0 if entry.source else _BLOCK) for entry in self.entries)


def tree_of(roots: Sequence[Root]) -> Tree:
    """Look at all that is in these folders, once.

    Raises:
        OSError: something of it cannot be seen.
    """
    entries: list[Entry] = []
    outside: set[str] = set()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="staging") as pool:
        folders = [(number, "") for number in range(len(roots))]
        while folders:
            looks = list(pool.map(lambda each: _look(roots, *each), folders))
            folders = [folder for look in looks for folder in look.folders]
            entries += [entry for look in looks for entry in look.entries]
            outside.update(path for look in looks for path in look.outside)
    ordered = tuple(sorted(entries, key=lambda entry: entry.place))
    return Tree(tuple(roots), ordered, tuple(sorted(outside)), _key(roots, ordered))


def _key(roots: Sequence[Root], entries: Sequence[Entry]) -> str:
    digest = sha256(repr((FORMAT, [(root.kind.value, root.names) for root in roots])).encode())
    for entry in entries:
        if not entry.is_compiled:
            line = (entry.place, entry.mode, entry.size, entry.changed, entry.source, entry.target)
            digest.update(repr(line).encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()[:24]


@dataclass
class _Look:
    """One folder."""

    entries: list[Entry] = field(default_factory=list)
    folders: list[tuple[int, str]] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def _look(roots: Sequence[Root], number: int, rest: str) -> _Look:
    root, found = roots[number], _Look()
    folder = os.path.join(root.path, rest) if rest else root.path  # noqa: PTH118 (hundreds of thousands of names)
    found.entries.append(Entry(_at(number, rest), 0o700 | stat.S_IMODE(os.stat(folder).st_mode) & 0o777))  # noqa: PTH116
    with os.scandir(folder) as names:
        for each in names:
            inside = f"{rest}/{each.name}" if rest else each.name
            if not root.takes(inside):
                continue
            if each.is_dir(follow_symlinks=False):
                if not any(each.path == other.path for other in roots):  # which has a copy of its own
                    found.folders.append((number, inside))
            elif each.is_symlink():
                _add_link(found, roots, _at(number, inside), each.path)
            elif each.is_file(follow_symlinks=False):
                found.entries.append(_file(_at(number, inside), each.path, each.stat(follow_symlinks=False)))
                if root.has_code and _leads_elsewhere(each.name):
                    found.outside += _led_to(roots, each.path)
    return found


def _at(number: int, rest: str) -> str:
    return f"{number}/{rest}" if rest else str(number)


def _file(place: str, path: str, seen: os.stat_result) -> Entry:
    mode = seen.st_mode & 0o777 | 0o400
    changed = seen.st_mtime_ns, seen.st_ctime_ns if seen.st_nlink == 1 else seen.st_ino
    return Entry(place, mode, seen.st_size, changed, source=path)


def _add_link(found: _Look, roots: Sequence[Root], place: str, path: str) -> None:
    """A link inside stays one, to the copy; a file elsewhere is copied, unless every node has it."""
    target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))  # noqa: PTH115, PTH118, PTH120
    real = os.path.realpath(target)
    there = place_in(roots, target) or place_in(roots, real)
    if there is not None:
        relative = os.path.relpath(there, os.path.dirname(place))  # noqa: PTH120
        found.entries.append(Entry(place, 0o777, target=relative))
    elif is_of_system(real):
        found.entries.append(Entry(place, 0o777, target=target))
    elif os.path.isfile(real):  # noqa: PTH113
        found.entries.append(_file(place, real, os.stat(real)))  # noqa: PTH116
    else:
        found.entries.append(Entry(place, 0o777, target=target))
        if os.path.isdir(real):  # noqa: PTH112
            found.outside.append(target)


def _leads_elsewhere(name: str) -> bool:
    """Whether Python finds editable packages by a file of this name."""
    return name.endswith(".pth") or (name.startswith("__editable__") and name.endswith(".py"))


def _led_to(roots: Sequence[Root], path: str) -> Iterator[str]:
    """Folders outside of all that is copied: they are used where they are."""
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        text = stream.read(_MOST_SHOWN)
    lines = [line.strip() for line in text.splitlines()] if path.endswith(".pth") else _ABSOLUTE.findall(text)
    for line in lines:
        if line.startswith("/") and place_in(roots, os.path.normpath(line)) is None and Path(line).exists():
            yield os.path.normpath(line)
