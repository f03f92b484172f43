"""Names of input files: paths of this machine, or fsspec addresses. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from curator_slurm.launcher.spec.locations import is_address

_FILE = "file://"


def is_remote(path: str) -> bool:
    """Whether this is an address of a store; `file://` is a path of this machine in other words."""
    return not path.startswith(("/", _FILE)) and is_address(path)


def local_path(path: str) -> str:
    """A path without what does not change its meaning: `file://`, doubled slashes, `.`; `..` and links stay."""
    path = path.removeprefix(_FILE)
    if "//" in path or "/./" in path or path.startswith("./") or path.endswith(("/", "/.")):
        return str(PurePosixPath("/") / path.lstrip("/")) if path.startswith("/") else str(PurePosixPath(path))
    return path


def inside(folder: str, path: str) -> str:
    """`path` as a list in `folder`, which may be an address, means it."""
    return path if path.startswith(("/", _FILE)) or is_address(path) else f"{folder.rstrip('/')}/{path}"


def show(path: str) -> str:
    """A path for messages: on one line, whatever is in it."""
    return path if path.isprintable() else ascii(path)
