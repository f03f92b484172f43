"""One document on top of another: what layers of site files say together, and what a spec adds to them. Pure.

Mappings merge key by key, everything else replaces. `null` takes a setting away, `key+` appends to a list. Of settings
that exclude each other (`environment.venv` and `environment.python`) the later one counts, and the spellings of an
option of sbatch are one key.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from curator_slurm.launcher.spec import sbatch_options
from curator_slurm.launcher.spec.keys import is_list, may_be_absent, section_at
from curator_slurm.launcher.spec.yaml_document import Document, Path

APPEND = "+"
"""At the end of a key: its list goes behind that of the layers below."""
SBATCH: Path = ("resources", "sbatch")
GROUPS: Path = ("resources", "groups")
EXCLUSIVE: tuple[tuple[Path, ...], ...] = (
    (("environment", "python"), ("environment", "venv"), ("environment", "conda"), ("environment", "uv")),
    (
        ("resources", "mem_per_node"),
        ("resources", "mem_per_cpu"),
        (*SBATCH, "mem-per-cpu"),
        (*SBATCH, "mem-per-gpu"),
    ),
    (("resources", "nodes"), ("resources", "gpus"), ("resources", "cpus")),
)
"""Settings of which one counts."""
CONTAINER: Path = ("environment", "container")
RESTART: Path = ("restart",)
SHORT: dict[Path, str] = {CONTAINER: "image", ("storage", "node_local"): "path", RESTART: "mechanism"}
"""Sections that may be written as a plain text, and the key that it stands for."""


def canonical(path: Path) -> Path:
    """A path with the one name that an option of sbatch has: `C`, `--constraint` and `constraint` are the same."""
    if path[:2] == SBATCH and len(path) > 2:
        return (*SBATCH, sbatch_options.long_name(str(path[2])), *path[3:])
    if len(path) > 4 and path[:2] == GROUPS and path[3] == "sbatch":
        return (*path[:4], sbatch_options.long_name(str(path[4])), *path[5:])
    return path


def value_at(value: Any, path: Path) -> Any:
    """What stands at a canonical path; None where nothing does."""
    for depth, part in enumerate(path):
        if isinstance(value, dict):
            found = [key for key in value if canonical((*path[:depth], key)) == path[: depth + 1]]
            value = value[found[-1]] if found else None
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def spelled(value: Any, path: Path) -> Path:
    """A canonical path as `value` spells it."""
    found: Path = ()
    for depth, part in enumerate(path):
        keys = value if isinstance(value, dict) else ()
        same = [key for key in keys if canonical((*path[:depth], key)) == path[: depth + 1]]
        part = same[-1] if same else part
        found = (*found, part)
        value = value_at(value, (part,))
    return found


def merge(below: Document, above: Document, root: type[BaseModel], source: str = "") -> Document:
    """What both documents say together; `above` wins. `source` is the file of `above`, where that is to be kept.

    Both have mappings at their tops. What is wrong in either is left for the check of the whole.
    """
    below = _in_full(below, [path for path in SHORT if section_at(path, root)])
    above = _in_full(above, [CONTAINER, RESTART])
    sources = {**dict.fromkeys(above.lines, source), **above.sources} if source else dict(above.sources)
    result = Document(lines=dict(above.lines), written=dict(above.written), problems=above.problems, sources=sources)
    gone = {
        path
        for group in EXCLUSIVE
        if any(value_at(above.value, path) is not None for path in group)
        for path in group
        if value_at(above.value, path) is None
    }
    result.value = _Merger(below, result, root, gone).combine(below.value or {}, above.value, ())
    return result


def in_full(value: Any, paths: Iterable[Path] = tuple(SHORT)) -> Any:
    """The same with sections in place of the texts that stand for them; `value` stays as it is."""
    for path in paths:
        if _is_short(value, path):
            value = _with_section(value, path, SHORT[path])
    return value


def _is_short(value: Any, path: Path) -> bool:
    """Whether a text stands there for a section; other readers of YAML make false of `restart: off`."""
    text = value_at(value, path)
    return isinstance(text, str) or (path == RESTART and text is False)


def _with_section(value: Any, path: Path, key: str) -> Any:
    first, *rest = path
    return {**value, first: _with_section(value[first], tuple(rest), key) if rest else {key: value[first]}}


def _in_full(document: Document, paths: Iterable[Path]) -> Document:
    short = [path for path in paths if _is_short(document.value, path)]
    if not short:
        return document
    result = replace(
        document,
        value=in_full(document.value, short),
        lines=dict(document.lines),
        sources=dict(document.sources),
    )
    for path in short:
        for table in (result.lines, result.sources):
            _copy_down(table, path)
    return result


def _copy_down(table: dict[Path, Any], path: Path) -> None:
    if path in table:
        table[(*path, SHORT[path])] = table[path]


def leave_out_displaced(document: Document) -> None:
    """Take away what layers below say and the command line has replaced by a setting that excludes it."""
    for group in EXCLUSIVE:
        if any(document.lines.get(path) == 0 and path not in document.sources for path in group):
            for path in group:
                if path in document.sources:
                    _remove(document, path)


def leave_out_shards(document: Document) -> None:
    """Take away defaults about shards of a run that has none."""
    shards = document.value.get("shards")
    if shards and isinstance(shards, dict) and all(("shards", key) in document.sources for key in shards):
        _remove(document, ("shards",))


def _remove(document: Document, path: Path) -> None:
    holder = value_at(document.value, path[:-1])
    for key in [key for key in holder or () if canonical((*path[:-1], key)) == path]:
        del holder[key]
    for table in (document.lines, document.written, document.sources):
        for known in [known for known in table if canonical(known)[: len(path)] == path]:
            del table[known]


class _Merger:
    """Combines values, and notes in `result` where each is from."""

    def __init__(self, below: Document, result: Document, root: type[BaseModel], gone: set[Path]) -> None:
        self.below, self.result, self.root, self.gone = below, result, root, gone

    def combine(self, below: dict[str, Any], above: dict[str, Any], path: Path) -> dict[str, Any]:
        left = self._left(below, above, path)
        appended = [key for key in above if self._appends(key, path)]
        combined: dict[str, Any] = {}
        for key in dict.fromkeys([*left, *above]):
            here = (*path, key)
            if key in appended:
                continue
            if key not in above:
                combined[key] = deepcopy(left[key])
                self._keep(here)
            elif key not in left:
                item = above[key]
                combined[key] = self.combine({}, item, here) if isinstance(item, dict) else item
            else:
                self._both(combined, key, left[key], above[key], here)
        for key in appended:
            self._append(combined, key, above[key], path)
        return combined

    def _left(self, below: dict[str, Any], above: dict[str, Any], path: Path) -> dict[str, Any]:
        """What is below, without what the layer above displaces by another name."""
        spelled = {canonical((*path, key)): key for key in above}
        return {
            key: item
            for key, item in below.items()
            if (name := canonical((*path, key))) not in self.gone and spelled.get(name, key) == key
        }

    def _both(self, combined: dict[str, Any], key: str, below: Any, above: Any, path: Path) -> None:
        if above is None and section_at(path, self.root) and not may_be_absent(path, self.root):
            combined[key] = deepcopy(below)
            self._keep(path)
        elif above is not None:
            is_section = isinstance(below, dict) and isinstance(above, dict)
            combined[key] = self.combine(below, above, path) if is_section else above

    def _appends(self, key: str, path: Path) -> bool:
        return key.endswith(APPEND) and is_list((*path, key.removesuffix(APPEND)), self.root)

    def _append(self, combined: dict[str, Any], key: str, value: Any, path: Path) -> None:
        name = key.removesuffix(APPEND)
        old = _as_list(combined.get(name))
        new = _as_list(value)
        self.result.sources.pop((*path, name), None)
        for table in (self.result.lines, self.result.written, self.result.sources):
            _move(table, (*path, key), (*path, name), len(old or ()))
        if old is None or new is None:
            combined[name] = value
        else:
            combined[name] = [*old, *new]

    def _keep(self, path: Path) -> None:
        """Where the values at and below a path are from: the layer below, still."""
        for ours, theirs in (
            (self.result.lines, self.below.lines),
            (self.result.written, self.below.written),
            (self.result.sources, self.below.sources),
        ):
            _copy(ours, theirs, path)


def _copy(ours: dict[Path, Any], theirs: dict[Path, Any], path: Path) -> None:
    for known in [known for known in ours if known[: len(path)] == path]:
        del ours[known]
    ours.update({known: value for known, value in theirs.items() if known[: len(path)] == path})


def _move(table: dict[Path, Any], old: Path, new: Path, offset: int) -> None:
    """Notes about the items of a list that goes behind another."""
    for known in [known for known in table if known[: len(old)] == old]:
        value = table.pop(known)
        index = known[len(old)] if len(known) > len(old) else None
        rest = known[len(old) + 1 :]
        if index is None:
            table[new] = value
        elif isinstance(index, int):
            table[(*new, index + offset, *rest)] = value


def _as_list(value: Any) -> list[Any] | None:
    """None where it is neither a list nor the one item of one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value] if isinstance(value, str) else None
