"""Paths of a spec made absolute: `~` and variables expanded, relative ones resolved in the spec's folder. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from curator_slurm.common.addresses import is_address

_VARIABLE = re.compile(r"\$\$|\$(?:\{(?P<braced>[^{}]*)\}|(?P<bare>[A-Za-z_][A-Za-z0-9_]*))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def absolute(path: str, folder: Path, environ: Mapping[str, str], *, on_nodes: re.Pattern[str] | None = None) -> str:
    """The absolute path that a user wrote as `path` in a spec in `folder`.

    Addresses, links and `..` stay as they are. `$$` is a dollar sign. Variables that match `on_nodes` stay,
    with braces: they are known on the nodes alone. A path that begins with one of them is absolute there.

    Raises:
        ValueError: a variable is not set, a home directory is not known, or the path is no text.
    """
    if is_address(path):
        return path
    expanded = _expand_home(_expand_variables(path, environ, on_nodes), environ)
    if any(ord(c) < 32 or ord(c) == 127 for c in expanded):
        raise ValueError("contains a control character once its variables are expanded")
    if on_nodes is not None and on_nodes.match(expanded):
        return writable(expanded)
    return writable(str(folder / expanded))


def writable(path: str) -> str:
    """The same path, which plans and scripts can contain.

    Raises:
        ValueError: its bytes are no text in UTF-8.
    """
    if not is_utf8(path):
        raise ValueError(f"is {path!r}, which is not UTF-8; plans and scripts contain text, so rename that folder")
    return path


def is_utf8(text: str) -> bool:
    """Whether it has no bytes that were no UTF-8, which Python hides in surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _expand_variables(path: str, environ: Mapping[str, str], on_nodes: re.Pattern[str] | None) -> str:
    def value(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        name = match["braced"] if match["braced"] is not None else match["bare"]
        if on_nodes is not None and on_nodes.fullmatch(f"${{{name}}}"):
            return f"${{{name}}}"
        if not _NAME.fullmatch(name):
            raise ValueError(f"uses `{match.group()}`; only environment variables, such as ${{USER}}, are allowed here")
        if not environ.get(name):
            raise ValueError(f"uses ${name}, which is not set in your environment; write $$ for a dollar sign")
        return environ[name]

    return _VARIABLE.sub(value, path)


def _expand_home(path: str, environ: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        home = environ.get("HOME") or str(Path.home())
        return home + path[1:]
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise ValueError("refers to the home directory of an unknown user; write ./~ for a file of that name") from None
