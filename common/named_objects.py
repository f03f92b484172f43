"""Objects given as `module:name`, where `name` may be dotted."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class NoSuchNameError(AttributeError):
    """The module was imported, but has no such name; `close` is one that it has, or empty."""

    def __init__(self, module: str, wanted: str, close: str, hidden: str = "") -> None:
        hint = f"; did you mean {close!r}?" if close else ""
        super().__init__(f"{module} has no {wanted!r}{hint}{hidden}")
        self.close = close


def split_name(entry: str) -> tuple[str, str]:
    """Module and name.

    Raises:
        ValueError: it is not of the form `module:name`.
    """
    module, separator, name = entry.partition(":")
    if not separator or not module or not name:
        raise ValueError(f"{entry!r} must be module:name, such as my_project.filters:is_english")
    return module, name


def import_named(entry: str) -> Any:
    """The object that `module:name` stands for.

    Raises:
        ValueError: it is not of this form.
        NoSuchNameError: the module has no such name.
        Exception: whatever importing the module raises.
    """
    module, name = split_name(entry)
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = {*dir(found), *map(str, getattr(found, "__all__", ()))}  # names may be loaded when first used
            close = next(iter(get_close_matches(part, names, n=1)), "")
            raise NoSuchNameError(module, name, close, _hidden(module)) from None
    return found


def _hidden(module: str) -> str:
    """What to say where another module of the name comes first, such as one of Python's own."""
    mine = getattr(sys.modules.get(module), "__file__", None)
    stem = module.replace(".", "/")
    for folder in sys.path:
        for path in (Path(folder or ".", f"{stem}.py"), Path(folder or ".", stem, "__init__.py")):
            if path.is_file() and not (mine and Path(mine).exists() and path.samefile(mine)):
                return f"; it is {mine or 'built into Python'}, and {path} is not seen beside it: rename that file"
    return ""
