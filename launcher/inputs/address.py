"""Names of input files as lists and patterns give them, made alike. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from curator_slurm.common.addresses import is_address, without_scheme


def local_path(path: str) -> str:
    """A path without what does not change its meaning: `file://`, doubled slashes, `.`; `..` and links stay."""
    path = without_scheme(path)
    if "//" in path or "/./" in path or path.startswith("./") or path.endswith(("/", "/.")):
        return str(PurePosixPath("/") / path.lstrip("/")) if path.startswith("/") else str(PurePosixPath(path))
    return path


def inside(folder: str, path: str) -> str:
    """`path` as a list in `folder`, which may be an address, means it."""
    return path if path.startswith("/") or is_address(path) else f"{folder.rstrip('/')}/{path}"


def show(path: str) -> str:
    """A path for messages: on one line, whatever is in it."""
    return path if path.isprintable() else ascii(path)
