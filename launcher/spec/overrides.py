"""`--set resources.nodes=8`: one setting of a spec changed on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher.errors import SpecProblem
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.spec.keys import dotted, is_list, section_at, settings
from curator_slurm.launcher.spec.locations import is_utf8
from curator_slurm.launcher.spec.merging import APPEND, canonical, spelled, value_at
from curator_slurm.launcher.spec.yaml_document import Document, Path, YamlSyntaxError, parse

WHERE = "--set"


@dataclass(frozen=True)
class Override:
    """One parsed KEY=VALUE."""

    path: Path
    value: Document


def parse_override(text: str) -> Override | SpecProblem:
    """KEY=VALUE, where KEY is dotted (list items by number) and VALUE is YAML."""
    if not is_utf8(text):
        key = text.partition("=")[0].encode(errors="replace").decode()
        return SpecProblem(key, f"the value of `{key}` is not UTF-8; a spec contains text, names of files too", WHERE)
    key, equals, value_text = text.partition("=")
    key = re.sub(r"\[([0-9]+)\]", r".\1", key.strip())
    if not equals:
        return SpecProblem(key, f"`{text}` has no value; write KEY=VALUE, such as resources.nodes=8", WHERE)
    parts = key.split(".")
    if not all(part.strip() for part in parts):
        return SpecProblem(key, f"`{text}` has no key; write KEY=VALUE, such as resources.nodes=8", WHERE)
    path: Path = ()
    for part in parts:
        path = (*path, _known_spelling(path, part))
    try:
        value = parse(value_text)
    except YamlSyntaxError as error:
        message = f"the value of `{key}` {error}; it needs quotes: --set '{key}=\"...\"'"
        return SpecProblem(dotted(path), message, WHERE)
    if value.problems:
        return SpecProblem(dotted(path), f"the value of `{key}`: {value.problems[0][1]}", WHERE)
    return Override(path, value)


def apply(document: Document, override: Override) -> SpecProblem | None:
    """Put the value into the document, creating the sections on the way."""
    override = _completed(document, override)
    here = document.value
    for depth, part in enumerate(override.path[:-1]):
        below = override.path[: depth + 1]
        slot = _slot(here, part)
        if slot is None:
            return _misplaced(override.path, below, here)
        fits = isinstance(here, dict) and here.get(slot) is None
        if fits or (isinstance(here, list) and slot == len(here)):
            _put(here, slot, [] if isinstance(override.path[depth + 1], int) else {})
            document.lines[below] = 0
        here = here[slot]
    slot = _slot(here, override.path[-1])
    if slot is None:
        return _misplaced(override.path, override.path, here)
    _forget(document, override.path)
    _put(here, slot, override.value.value)
    for below in [(), *override.value.lines]:
        document.lines[(*override.path, *below)] = 0
    for below, written in override.value.written.items():
        document.written[(*override.path, *below)] = written
    return None


def _completed(document: Document, override: Override) -> Override:
    """The override of `environment.modules+` as one of the whole list, and of an option of sbatch as it is spelled."""
    *parent, last = override.path
    known = spelled(document.value, canonical(override.path))
    if len(known) > 2 and value_at(document.value, known) is not None:
        override = Override(known, override.value)
    path = (*parent, str(last).removesuffix(APPEND))
    if not str(last).endswith(APPEND) or not is_list(path):
        return override
    before, added = (
        [value] if isinstance(value, str) else value or []
        for value in (value_at(document.value, path), override.value.value)
    )
    if not isinstance(before, list) or not isinstance(added, list):
        return Override(path, override.value)
    return Override(path, Document([*before, *added], {(): 0}))


def _known_spelling(parent: Path, part: str) -> str | int:
    """A list index as a number; a setting's own spelling for `gpus-per-node`; else as it is."""
    if (index := whole_number(part)) is not None:
        return index
    section = section_at(parent)
    underscored = part.replace("-", "_")
    return underscored if section and underscored in settings(section) else part


def _slot(here: Any, part: str | int) -> Any:
    """The key or index that `part` means in `here`; None if it is neither."""
    if isinstance(here, dict):
        return str(part)
    if isinstance(here, list) and isinstance(part, int) and part <= len(here):
        return part
    return None


def _put(here: Any, slot: Any, value: Any) -> None:
    if isinstance(here, list) and slot == len(here):
        here.append(value)
    else:
        here[slot] = value


def _forget(document: Document, path: Path) -> None:
    for table in (document.lines, document.written, document.sources):
        for known in [known for known in table if known[: len(path)] == path]:
            del table[known]


def _misplaced(whole: Path, below: Path, here: Any) -> SpecProblem:
    parent = dotted(below[:-1])
    if isinstance(here, list):
        found = f"a list of {several(len(here), 'item')}; use an index from 0 to {len(here)} (which appends)"
    else:
        found = f"{here!r}, not a section"
    return SpecProblem(dotted(whole), f"`{dotted(whole)}` cannot be set: `{parent}` is {found}", WHERE)
