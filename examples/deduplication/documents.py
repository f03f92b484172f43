"""Real documents that are on this machine: what packages say of themselves, in Python and in Debian."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEBIAN = Path("/usr/share")
MOST_BYTES = 100_000
_NOT_READ = {"tests", "test", "site-packages", "dist-packages"}


def files(packages: list[str], files_of_each: int, debian: bool) -> list[str]:
    """Sources of Python's library and of installed packages, their licences and descriptions; Debian's where it is.

    The first in alphabetical order of each kind, so that the same software gives the same documents.
    """
    installed, library = Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib"))
    kinds = [
        [*library.glob("*.py"), *library.glob("*/*.py")],
        *(installed.joinpath(package).rglob("*.py") for package in packages),
        [path for path in installed.glob("*.dist-info/**/*") if re.match("METADATA|LICEN[CS]E|NOTICE", path.name)],
    ]
    if debian:
        documents = DEBIAN / "doc"
        kinds += [
            DEBIAN.glob("man/man?/*.gz"),
            documents.glob("*/copyright"),
            [*documents.glob("*/changelog*.gz"), *documents.glob("*/NEWS*"), *documents.glob("*/README*")],
        ]
    return [str(path) for kind in kinds for path in _chosen(kind)[:files_of_each]]


def _chosen(paths: Any) -> list[Path]:
    """Files that are not huge, each once, without tests and without what is installed below the library."""
    roots = {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")}
    found: dict[Path, Path] = {}
    for path in sorted(paths):
        inside = next((path.relative_to(root) for root in roots if path.is_relative_to(root)), path)
        if not _NOT_READ & set(inside.parts[:-1]) and path.is_file() and path.stat().st_size <= MOST_BYTES:
            found.setdefault(path.resolve(), path)  # folders of /usr/share/doc may be links to each other
    return list(found.values())


def split(file: dict[str, Any]) -> list[dict[str, Any]]:
    """The documents of a file that was read: all docstrings of a source, the plain text of a manual page."""
    path, text = Path(file["path"]), file["text"]
    if path.suffix == ".py":
        return [{"kind": "docstring", "path": f"{path}:{line}", "text": found} for line, found in docstrings(text)]
    kind = "manual" if "/man/" in str(path) else "licence" if "METADATA" not in path.name else "description"
    if path.is_relative_to(DEBIAN / "doc") and path.name != "copyright":
        kind = "news"
    return [{"kind": kind, "path": str(path), "text": plain_manual(text) if kind == "manual" else text}]


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of what a module, its classes and functions say of themselves in more than a line."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text and "\n" in text:
                yield getattr(node, "lineno", 1), text


def plain_manual(source: str) -> str:
    """The text of a manual page, without most of troff's requests and escapes."""
    text = re.sub(r"\\f(?:\[\w*\]|\(..|.)|\\[|&/,^]", "", source)
    lines = [re.sub(r'^\.(?:SH|SS|B|I|BR|IR|RB|BI|IB|RI|TP|IP)\b ?"?|"$', "", line) for line in text.splitlines()]
    return "\n".join(line for line in lines if not line.startswith((".", "'"))).replace("\\-", "-").replace("\\e", "\\")
