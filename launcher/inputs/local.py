"""Files of this machine that paths, folders and globs name, with their sizes, looked up in parallel.

Linked folders are followed, each real folder once for a pattern, so that links in circles end. Names that begin with
a dot are skipped, and in folders also those with `_`, as other readers of data sets do: `_SUCCESS`, `_metadata`.
"""

from __future__ import annotations

import fnmatch
import heapq
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from curator_slurm.launcher.inputs.input_file import InputFile
from curator_slurm.launcher.inputs.thread_pool import ThreadPool, batches

_MAGIC = re.compile(r"[*?[]")


@dataclass
class FoundFiles:
    """Files, and what could not be used; `identities` (device and inode of each file) go with `files`."""

    files: list[InputFile] = field(default_factory=list)
    identities: list[tuple[int, int]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Broken links, or files that have just been removed."""
    skipped: list[str] = field(default_factory=list)
    """Files whose names begin with `_`."""
    denied: list[tuple[str, str]] = field(default_factory=list)
    """Files and folders that cannot be read, and why."""
    special: list[str] = field(default_factory=list)
    """Neither files nor folders."""
    bytes: int = 0


@dataclass
class _Names:
    """What is in a folder; folders and links with whether all below them is meant."""

    folders: list[tuple[str, bool]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: dict[str, bool] = field(default_factory=dict)
    identity: tuple[int, int] | None = None
    found: FoundFiles = field(default_factory=FoundFiles)


Reached = Callable[[FoundFiles], None]


class LocalLister:
    """Finds files; `reached` is called now and then with what has been found so far."""

    def __init__(self, pool: ThreadPool, reached: Reached) -> None:
        self._pool = pool
        self._reached = reached

    def pattern(self, pattern: str, only_folders: bool = False) -> FoundFiles:
        """Everything that a path, folder or glob names."""
        found = FoundFiles()
        if os.path.lexists(pattern) or not _MAGIC.search(pattern):
            self._look_at([pattern], found)
        else:
            base, parts = _split(pattern)
            if parts == ["**"]:
                self._below(base, True, found)
            elif len(parts) == 2 and parts[0] == "**" and not only_folders and not parts[1].startswith("."):
                self._below(base, False, found, re.compile(fnmatch.translate(parts[1])))
            else:
                if parts[-1] == "**":
                    parts, only_folders = parts[:-1], True
                self._look_at(dict.fromkeys(_matches(base, parts, found)), found, only_folders)
        return found

    def paths(self, paths: Iterable[str]) -> FoundFiles:
        """These files, whose names are taken as they are; folders among them count as missing."""
        found = FoundFiles()
        for batch in batches(list(paths)):
            self._pool.add(_look, batch)
        for result, folders in self._pool.results():
            _add(found, result)
            found.special += folders
            self._reached(found)
        return found

    def _look_at(self, names: Iterable[str], found: FoundFiles, only_folders: bool = False) -> None:
        """Files as they are, folders with all that is below them."""
        for batch in batches(list(names)):
            self._pool.add(_look, batch)
        roots: list[str] = []
        for result, folders in self._pool.results():
            if not only_folders:
                _add(found, result)
            roots += folders
            self._reached(found)
        for root in sorted(roots):
            self._below(root, True, found)

    def _below(self, root: str, everything: bool, found: FoundFiles, wanted: re.Pattern[str] | None = None) -> None:
        """All files below a folder, or those that are wanted: first in real folders, then where links lead."""
        seen: set[tuple[int, int]] = set()
        waiting = [(root, everything)]
        while waiting:
            # One after the other, by name: which link to a folder counts must not depend on who is quicker.
            folder, everything = heapq.heappop(waiting)
            links = self._walk(folder, everything, found, wanted, seen)
            for batch in batches(list(links)):
                self._pool.add(_look, batch)
            for result, folders in self._pool.results():
                _add(found, result)
                for path in folders:
                    heapq.heappush(waiting, (path, links[path]))
                self._reached(found)

    def _walk(
        self, root: str, everything: bool, found: FoundFiles, wanted: re.Pattern[str] | None, seen: set[tuple[int, int]]
    ) -> dict[str, bool]:
        """Walk real folders in parallel; returns the links in them, each with whether all below it is meant."""
        links: dict[str, bool] = {}
        self._pool.add(_scan, root, everything, wanted)
        for result in self._pool.results():
            if isinstance(result, tuple):
                _add(found, result[0])
            elif result.identity is None or result.identity not in seen:
                seen.add(result.identity)
                _add(found, result.found)
                links.update(result.links)
                for folder in result.folders:
                    self._pool.add(_scan, *folder, wanted)
                for batch in batches(result.files):
                    self._pool.add(_look, batch)
            self._reached(found)
        return links


def _scan(folder: str, everything: bool, wanted: re.Pattern[str] | None) -> _Names:
    """What is in one folder. Below a folder that is meant as a whole, everything; else what has a wanted name."""
    names = _Names()
    found = names.found
    try:
        status = os.stat(folder)  # noqa: PTH116
        names.identity = (status.st_dev, status.st_ino)
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                meant = wanted is not None and wanted.match(name) is not None
                if entry.is_symlink():
                    if meant or _leads_to_folder(entry) or (everything and not name.startswith("_")):
                        names.links[entry.path] = everything or meant
                elif entry.is_dir():
                    names.folders.append((entry.path, everything or meant))
                elif not entry.is_file():
                    if everything or meant:
                        found.special.append(entry.path)
                elif meant or (everything and not name.startswith("_")):
                    names.files.append(entry.path)
                elif everything:
                    found.skipped.append(entry.path)
    except OSError as error:
        found.denied.append((folder, error.strerror or str(error)))
    return names


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _look(paths: list[str]) -> tuple[FoundFiles, list[str]]:
    """Sizes of files; folders among them apart."""
    found, folders = FoundFiles(), []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116
        except PermissionError as error:
            found.denied.append((path, error.strerror or str(error)))
            continue
        except (OSError, ValueError):
            found.missing.append(path)
            continue
        kind = status.st_mode
        if stat.S_ISREG(kind):
            if not _may_read(status) and not os.access(path, os.R_OK):
                found.denied.append((path, "Permission denied"))
                continue
            found.files.append(InputFile(path, status.st_size, status.st_mtime_ns))
            found.bytes += status.st_size
            found.identities.append((status.st_dev, status.st_ino))
        elif stat.S_ISDIR(kind):
            folders.append(path)
        else:
            found.special.append(path)
    return found, folders


def _may_read(status: os.stat_result) -> bool:
    """Whether the mode allows it; where it does not, an access list still may."""
    if status.st_mode & stat.S_IROTH:
        return True
    return status.st_uid == os.geteuid() and bool(status.st_mode & stat.S_IRUSR)


def _add(to: FoundFiles, more: FoundFiles) -> None:
    to.files += more.files
    to.identities += more.identities
    to.missing += more.missing
    to.skipped += more.skipped
    to.denied += more.denied
    to.special += more.special
    to.bytes += more.bytes


# Globs


def _split(pattern: str) -> tuple[str, list[str]]:
    """The folder in front of the first part with a sign of globs, and the parts from there on; `**` once in a row."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if _MAGIC.search(part))
    rest = [part for number, part in enumerate(parts[first:], first) if part != "**" or parts[number - 1] != "**"]
    base = "/".join(parts[:first])
    return base or ("/" if pattern.startswith("/") else "."), rest


def matches(pattern: str) -> Iterator[str]:
    """What a path or glob names, as it is found: files and folders, the latter as they are."""
    if os.path.lexists(pattern) or not _MAGIC.search(pattern):
        yield pattern
    else:
        base, parts = _split(pattern)
        yield from _matches(base, parts, FoundFiles())


def _matches(base: str, parts: list[str], found: FoundFiles) -> Iterator[str]:
    """Names that match, as the shell has it; `**` stands for any number of folders."""
    head, rest = parts[0], parts[1:]
    if head == "**" and not rest:
        yield base
    elif head == "**":
        for folder in _folders(base, set(), found):
            yield from _matches(folder, rest, found)
    elif not _MAGIC.search(head):
        path = f"{base.rstrip('/')}/{head}"
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            found.denied.append((path, error.strerror or str(error)))
            return
        yield from _matches(path, rest, found) if rest else [path]
    else:
        wanted = re.compile(fnmatch.translate(head))
        for entry in _entries(base, found):
            if wanted.match(entry.name) and (head.startswith(".") or not entry.name.startswith(".")):
                if not rest:
                    yield entry.path
                elif _leads_to_folder(entry):
                    yield from _matches(entry.path, rest, found)


def _folders(folder: str, seen: set[tuple[int, int]], found: FoundFiles) -> Iterator[str]:
    """A folder and all below it, linked ones too, each real one once."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    yield folder
    # Real folders before linked ones: those have the shorter names.
    for entry in sorted(_entries(folder, found), key=lambda entry: (entry.is_symlink(), entry.name)):
        if not entry.name.startswith(".") and _leads_to_folder(entry):
            yield from _folders(entry.path, seen, found)


def _entries(folder: str, found: FoundFiles) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        found.denied.append((folder, error.strerror or str(error)))
        return []
