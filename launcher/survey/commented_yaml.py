"""YAML with comments, written from a tree of keys, sections and words. Pure.

Words may be those of Slurm, its plug-ins and nodes: characters that YAML does not take, or a terminal obeys, are shown.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import yaml

from curator_slurm.launcher.visible import visible_line

WIDTH = 118
_COMMENT_COLUMN = 36
DECIDE = "DECIDE:"
"""Marks a comment about what only the administrator knows."""


@dataclass(frozen=True)
class Words:
    """A comment on lines of its own."""

    text: str


@dataclass(frozen=True)
class Key:
    """A key with its value and where that is from; `off` writes it as a comment."""

    name: str
    value: Any
    words: str = ""
    off: bool = False


@dataclass(frozen=True)
class Block:
    """A section."""

    name: str
    items: Sequence[Item]
    words: str = ""


Item = Words | Key | Block


def decide(text: str) -> Words:
    return Words(f"{DECIDE} {text}")


def rendered(items: Sequence[Item]) -> str:
    """The file."""
    return "\n".join(_lines(items, "")).rstrip("\n") + "\n"


def _lines(items: Sequence[Item], indent: str) -> Iterator[str]:
    for item, following in zip_longest(items, items[1:]):
        if isinstance(item, Words):
            yield from _comment(item.text, indent)
        elif isinstance(item, Key):
            yield from _key(item, indent)
        elif item.items:
            yield from _with_words(f"{indent}{inline(item.name)}:", item.words, indent)
            yield from _lines(item.items, indent + "  ")
        if not indent and not (isinstance(item, Words) and isinstance(following, Key)):
            yield ""


def _key(item: Key, indent: str) -> Iterator[str]:
    text = f"{inline(item.name)}: {inline(item.value)}"
    yield from _with_words(f"{indent}{'# ' if item.off else ''}{text}", item.words, indent)


def _with_words(text: str, words: str, indent: str) -> Iterator[str]:
    """The words behind the text, or above it where the line would be too long."""
    line = f"{text:<{_COMMENT_COLUMN}}  # {visible_line(words)}" if words else text
    if words and len(line) > WIDTH:
        yield from _comment(words, indent)
        line = text
    yield line


def _comment(text: str, indent: str) -> Iterator[str]:
    width = WIDTH - len(indent) - 2
    for line in text.splitlines():
        parts = textwrap.wrap(visible_line(line), width, break_on_hyphens=False)
        yield from (f"{indent}# {part}" for part in parts or [""])


def inline(value: Any) -> str:
    """A value on one line; strings that YAML takes for something else are quoted."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    text = text.removesuffix("\n").removesuffix("\n...")
    if isinstance(value, str) and text.startswith("'"):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if value.isprintable() else text
    return text
