"""Blocks of templates as text: which there are, and what is in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from functools import cache
from pathlib import Path

from curator_slurm import slurm_templates

_TAG = re.compile(r"[ \t]*\{%[-+]?\s*(?:block\s+(\w+)|(endblock)(?:\s+\w+)?)\s*[-+]?%\}\n?")
FOLDER = Path(str(slurm_templates.__file__)).parent


@dataclass(frozen=True)
class TemplateBlock:
    """A named part of one of our templates, which a site may replace."""

    template: str
    name: str
    text: str

    @property
    def is_empty(self) -> bool:
        """Whether it is there for sites to add something."""
        return not self.text.strip()


def blocks_of(source: str) -> Mapping[str, str]:
    """Name -> text of the blocks of a template; a block in another one is part of that, too."""
    found: dict[str, str] = {}
    open_: list[tuple[str, int]] = []
    for tag in _TAG.finditer(source):
        if tag[1]:
            open_.append((tag[1], tag.end()))
        elif open_:
            name, start = open_.pop()
            found[name] = source[start : tag.start()]
    return found


@cache
def our_blocks() -> Mapping[str, TemplateBlock]:
    """Every block that a site may replace; no two have one name."""
    found = {}
    for path in sorted(FOLDER.glob("*.j2")):
        for name, text in blocks_of(path.read_text(encoding="utf-8")).items():
            found[name] = TemplateBlock(path.name, name, text)
    return found


def difference(block: TemplateBlock, original: str, version: str) -> str:
    """What has changed below a template that was written for `original`, as a unified diff."""
    names = (f"{block.template}: block {block.name}, as it was", f"{block.template}: block {block.name}, {version}")
    return "".join(unified_diff(original.splitlines(keepends=True), block.text.splitlines(keepends=True), *names))
