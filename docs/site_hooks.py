"""Hooks of MkDocs: pages of the repository outside docs/ become pages of the site, and links to them lead there.

On the site, the file `examples/README.md` of the repository is `repository/examples/README.md`. Other files that pages
link to (specs, scripts) are copied beside them, so that every link works without a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PREFIX = "repository"

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_SPEC_FENCE = re.compile(r"^```yaml (?:spec(?:-part)?|site)$", re.MULTILINE)
"""Specs and site files in the docs are marked for the tests, which validate them."""


def on_files(files: Files, config: Any) -> Files:
    """Add every file outside docs/ that is in the navigation or that a page links to, and those which these link to."""
    waiting = [DOCS / file.src_uri for file in files if file.is_documentation_page()]
    seen: set[Path] = set()
    for path in _pages(config["nav"]):
        if path.startswith(f"{PREFIX}/"):
            seen.add(_source(path))
            files.append(File.generated(config, path, abs_src_path=str(_source(path))))
            waiting.append(_source(path))
    while waiting:
        page = waiting.pop()
        for target in _linked(page):
            if target not in seen and not target.is_relative_to(DOCS):
                seen.add(target)
                files.append(File.generated(config, _site_path(target), abs_src_path=str(target)))
                if target.suffix == ".md":
                    waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Links of a page, which are those of the repository, as links of the site."""
    source = _source(page.file.src_uri)

    def relink(match: re.Match[str]) -> str:
        target = _target(source, match[1])
        return match[1] if target is None else os.path.relpath(_site_path(target), Path(page.file.src_uri).parent)

    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(markdown):
        parts += [_LINK.sub(relink, markdown[end : code.start()]), code.group()]
        end = code.end()
    return _SPEC_FENCE.sub("```yaml", "".join([*parts, _LINK.sub(relink, markdown[end:])]))


def _pages(nav: Any) -> Iterator[str]:
    """The paths in the navigation, at any depth."""
    for entry in nav.values() if isinstance(nav, dict) else nav:
        if isinstance(entry, str):
            yield entry
        else:
            yield from _pages(entry)


def _linked(page: Path) -> Iterator[Path]:
    for match in _LINK.finditer(_CODE.sub("", page.read_text(encoding="utf-8"))):
        target = _target(page, match[1])
        if target is not None:
            yield target


def _target(page: Path, link: str) -> Path | None:
    """The file of the repository that a link of a page leads to; a folder stands for its README."""
    path = Path(os.path.normpath(page.parent / link))
    path = path / "README.md" if path.is_dir() else path
    return path if path.is_file() else None


def _site_path(path: Path) -> str:
    """Where a file of the repository is on the site."""
    return path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else f"{PREFIX}/{path.relative_to(ROOT)}"


def _source(site_path: str) -> Path:
    inside = site_path.removeprefix(f"{PREFIX}/")
    return DOCS / site_path if inside == site_path else ROOT / inside
