"""One site file read and checked by itself: all errors at once, each with its line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from curator_slurm.common.addresses import is_address
from curator_slurm.launcher.errors import SpecError, SpecProblem
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.spec import sbatch_options
from curator_slurm.launcher.spec.keys import dotted, section_at, settings, unknown_key, wants_text
from curator_slurm.launcher.spec.merging import APPEND, SBATCH, merge
from curator_slurm.launcher.spec.model import NOT_YET, Spec
from curator_slurm.launcher.spec.problems import describe, keys_of, path_of, sentence, shortened
from curator_slurm.launcher.spec.yaml_document import Document, YamlSyntaxError, parse
from curator_slurm.launcher.spec.yaml_document import Path as Key

_PATHS: tuple[Key, ...] = (
    ("environment", "python"),
    ("environment", "venv"),
    ("environment", "conda"),
    ("storage", "runs"),
    ("storage", "node_local"),
    ("storage", "node_local", "path"),
    ("templates", "folder"),
)
"""Settings that are paths: a relative one begins at the folder of the file."""


def read_site_text(text: str, source: str, folder: Path) -> Document:
    """The values of a site file named `source`; relative paths in it begin at `folder`.

    Raises:
        SpecError: with every error in it.
    """
    try:
        document = parse(text)
    except YamlSyntaxError as error:
        raise SpecError([SpecProblem("", f"{error}", f"{source}:{error.line}")], source) from None
    if document.value is None:
        document.value = {}
    if not isinstance(document.value, dict):
        message = f"a site file must be a mapping of keys to values; found {describe(document.value)}"
        raise SpecError([SpecProblem("", message, f"{source}:1")], source)
    problems = [SpecProblem(dotted(path), message, f"{source}:{line}") for path, message, line in document.problems]
    restore_text(document)
    alone = merge(Document(value={}), document, Site, source)
    problems += [
        SpecProblem(dotted(path), shortened(message), place(alone, path, source))
        for path, message in problems_of(alone.value)
    ]
    if problems:
        raise SpecError(sorted(problems, key=_line), source)
    _make_absolute(document, folder)
    return document


def problems_of(value: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """(path, message) of everything that is wrong in a site file, or in what several say together."""
    data = without_nulls(value, ())
    try:
        site = Site.model_validate(data)
    except ValidationError as failure:
        for error in failure.errors(include_url=False):
            path = path_of(error, data)
            if keys := keys_of(error):
                path = tuple(keys[0].split("."))
            reason = NOT_YET.get(dotted(path)) if error["type"] == "extra_forbidden" else None
            yield path, f"`{dotted(path)}`: {reason}" if reason else sentence(error, path, Site)
        return
    for key, message in sbatch_options.normalise(site.resources.sbatch)[1]:
        yield (*SBATCH, *filter(None, [key])), message
    for index, key in enumerate(site.locked):
        if message := _unknown_lock(key):
            yield ("locked", index), message


def contradictions(value: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """(path, message) of what does not fit together in a whole configuration."""
    for key, message in Site.model_validate(without_nulls(value, ())).contradictions():
        yield tuple(key.split(".")), message


def _unknown_lock(key: str) -> str:
    """Why a key cannot be locked; empty where it can."""
    path: Key = tuple(key.split("."))
    for root in (Site, Spec):
        for depth in range(len(path)):
            section = section_at(path[:depth], root)
            if section is None and depth:
                return ""  # the user's own names, as in environment.env
            if section is None or path[depth] in settings(section):
                continue
            break
        else:
            return ""
    return f"`locked`: {unknown_key(path, Site)}"


def place(document: Document, path: Key, source: str) -> str:
    """`file:line` of a key, or of the nearest section around it."""
    for length in range(len(path), -1, -1):
        line = document.lines.get(path[:length])
        if line is not None:
            file = document.sources.get(path[:length], source)
            return f"{file}:{line}" if line else file
    return source


def restore_text(document: Document) -> None:
    """Numbers as they were written where a string is expected: `1.10` is not 1.1."""
    for path, written in document.written.items():
        name = tuple(part.removesuffix(APPEND) if isinstance(part, str) else part for part in path)
        holder = document.value
        for part in path[:-1]:
            holder = holder[part]
        is_truth = isinstance(holder[path[-1]], bool)
        is_variable = len(path) >= 3 and path[-2] == "env"
        if is_variable or (not is_truth and (wants_text(name, Site) or path[:-1] == SBATCH)):
            holder[path[-1]] = written


def without_nulls(value: Any, path: Key) -> Any:
    """A setting without a value counts as not set."""
    if isinstance(value, dict):
        return {key: without_nulls(item, (*path, key)) for key, item in value.items() if item is not None}
    return (
        [without_nulls(item, (*path, index)) for index, item in enumerate(value)] if isinstance(value, list) else value
    )


def _make_absolute(document: Document, folder: Path) -> None:
    """Relative paths as absolute ones; what begins with a variable or `~` is left for when it is expanded."""
    for path in _PATHS:
        holder = document.value
        for part in path[:-1]:
            holder = holder.get(part) if isinstance(holder, dict) else None
        text = holder.get(path[-1]) if isinstance(holder, dict) else None
        if not isinstance(text, str) or text.startswith(("/", "~", "$")) or is_address(text):
            continue
        if path[-1] == "conda" and "/" not in text and not text.startswith("."):
            continue  # the name of an environment
        holder[path[-1]] = str(folder).replace("$", "$$") + f"/{text}"
    extends = document.value.get("extends")
    names = [extends] if isinstance(extends, str) else extends or []
    document.value["extends"] = [str(folder / name) if is_file_name(name) else name for name in names]
    if not names:
        del document.value["extends"]


def is_file_name(name: str) -> bool:
    """Whether an entry of `extends` is a path, and not the name of a catalogue entry."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def _line(problem: SpecProblem) -> int:
    return whole_number(problem.where.rpartition(":")[2]) or 0
