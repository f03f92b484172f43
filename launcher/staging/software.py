"""Which folders make up the software of an interpreter, found by files alone: nothing of it is run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/proc", "/sys")
"""Folders that every node has itself."""
_LIBRARIES = ("lib", "lib64")
_VERSION = re.compile(r"([0-9]+\.[0-9]+)")
_UNUSED = re.compile(r"test|idlelib|turtledemo|config-.*")
"""Parts of a standard library that no run needs."""


class Kind(StrEnum):
    """What a folder is, and so what is changed in its copies."""

    VENV = "venv"
    CONDA = "conda"
    PYTHON = "python"
    BASE = "base"
    DATA = "data"


@dataclass(frozen=True)
class Root:
    """A folder that is staged. `names` are the paths by which files call it: the one it was given, and the real one."""

    kind: Kind
    names: tuple[str, ...]
    version: str = ""
    """Of the base of a virtual environment: 3.12, whose standard library is all that is taken of it."""
    whole: bool = False
    """Whether its installed packages are taken, too: the virtual environment uses them."""

    @property
    def path(self) -> str:
        return self.names[-1]

    @property
    def has_code(self) -> bool:
        return self.kind is not Kind.DATA

    def holds(self, path: str) -> str | None:
        """The rest of a path in this folder; None where it is elsewhere, or in no copy of it."""
        for name in self.names:
            if path == name or path.startswith(f"{name}/"):
                rest = path[len(name) + 1 :]
                return rest if self.takes(rest) else None
        return None

    def takes(self, rest: str) -> bool:
        """Whether something in it is copied."""
        if self.kind is not Kind.BASE or not rest:
            return True
        parts = rest.split("/")
        if parts[0] == "bin":
            return len(parts) == 1 or parts[1].startswith("python")
        if parts[0] not in _LIBRARIES:
            return False
        if len(parts) == 1 or (len(parts) == 2 and ".so" in parts[1]):
            return True
        if parts[1] != f"python{self.version}":
            return False
        inside = parts[2] if len(parts) > 2 else ""
        return not _UNUSED.fullmatch(inside) and (self.whole or inside != "site-packages")


def roots_of(python: str | None, data: Sequence[str] = ()) -> list[Root]:
    """The folders of an interpreter's software that nodes do not have themselves, and those of data."""
    found = [*(_of_python(python) if python else ()), *(_root(Kind.DATA, path) for path in data)]
    unique: dict[str, Root] = {}
    for root in found:
        if not is_of_system(root.path):
            unique.setdefault(root.path, root)
    return list(unique.values())


def is_of_system(path: str) -> bool:
    """Whether nodes have it themselves."""
    return path == "/" or any(path == each or path.startswith(f"{each}/") for each in _SYSTEM)


def place_in(roots: Sequence[Root], path: str) -> str | None:
    """Where a path is in the copy of these folders, as `0/bin/python`; None: nowhere."""
    best: tuple[int, str] | None = None
    for number, root in enumerate(roots):
        rest = root.holds(path)
        if rest is not None and (best is None or len(root.path) > best[0]):
            best = len(root.path), f"{number}/{rest}".rstrip("/")
    return best[1] if best else None


def _of_python(python: str) -> Iterator[Root]:
    prefix = os.path.dirname(os.path.dirname(os.path.abspath(python)))  # noqa: PTH100, PTH120 (links stay)
    settings = _settings(Path(prefix, "pyvenv.cfg"))
    if settings is None:
        prefix = os.path.dirname(os.path.dirname(os.path.realpath(python)))  # noqa: PTH120
        yield _root(Kind.CONDA if Path(prefix, "conda-meta").is_dir() else Kind.PYTHON, prefix)
        return
    yield _root(Kind.VENV, prefix)
    home = settings.get("home", "")
    version = _VERSION.match(settings.get("version") or settings.get("version_info") or "")
    if home and version:
        whole = settings.get("include-system-site-packages", "").lower() == "true"
        yield _root(Kind.BASE, os.path.dirname(home), version[1], whole=whole)  # noqa: PTH120


def _root(kind: Kind, path: str, version: str = "", *, whole: bool = False) -> Root:
    named = os.path.normpath(path)
    return Root(kind, tuple(dict.fromkeys((named, os.path.realpath(named)))), version, whole)


def _settings(path: Path) -> dict[str, str] | None:
    """What a pyvenv.cfg says; None where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    pairs = (line.partition("=") for line in lines)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}
