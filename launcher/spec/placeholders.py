"""The placeholders of a spec, such as `${output_dir}`: what there is, and how values take their place.

Everything here is pure. `find` and `mistakes` serve the check of a spec; `substitute` and `command_line` serve the
driver, which knows the values. A context maps the names of `KNOWN` to values, and `env` to the environment.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curator_slurm.launcher.errors import PlaceholderError
from curator_slurm.launcher.shell import Place, places

KNOWN = {
    "shard.files": "the input files of this shard; all input files where there are no shards",
    "shard.index": "the number of this shard, from 0",
    "input.files": "all input files",
    "output_dir": "the folder for outputs; published when the run has succeeded",
    "run_dir": "the run directory",
}
"""Name -> what it stands for; `env:NAME` comes on top."""
LISTS = frozenset({"shard.files", "input.files"})
"""Placeholders that stand for a list of files and need `input:` in the spec."""

_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[^{}]*)\}|\$\{")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)$")


@dataclass(frozen=True)
class Found:
    """One `${name}` in a text; `name` is None where the brace is never closed."""

    name: str | None
    start: int
    end: int
    escaped: bool = False

    @property
    def known(self) -> bool:
        return self.name is not None and (self.name in KNOWN or bool(_ENV.match(self.name)))


def find(text: str) -> Iterator[Found]:
    """Every placeholder and every escape `$${` of a text, in order."""
    for match in _TOKEN.finditer(text):
        escaped = match.group().startswith("$$")
        yield Found(match["name"], match.start(), match.end(), escaped)


def mistakes(text: str, has_input: bool, bash: bool = False) -> Iterator[str]:
    """What is wrong with the placeholders of one text; in `bash` text an unknown `${...}` belongs to bash."""
    for found in find(text):
        if found.escaped or (bash and not found.known):
            continue
        if found.name is None:
            yield "`${` is not closed; write `$${` where the text itself is meant"
        elif not found.known:
            yield f"`${{{found.name}}}` is not a placeholder; {_advice(found.name)}"
        elif found.name in LISTS and not has_input:
            yield f"`${{{found.name}}}` needs `input.paths` or `input.manifest`, which the spec does not give"
        elif found.name in LISTS and not bash and (found.start, found.end) != (0, len(text)):
            yield f"`${{{found.name}}}` is a list of files and must stand alone, not inside a longer text"


def substitute(value: Any, context: Mapping[str, Any]) -> Any:
    """`value` (of any nesting) with its placeholders filled in.

    A text that is one placeholder becomes its value, so `${input.files}` becomes a list; inside a longer text only
    single values can stand. `$${` becomes `${`.
    """
    if isinstance(value, str):
        return _substitute_text(value, context)
    if isinstance(value, Mapping):
        return {key: substitute(item, context) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [substitute(item, context) for item in value]
    return value


def command_line(command: str | list[str], context: Mapping[str, Any]) -> list[str]:
    """The argument list of `pipeline.command`: bash for a text, the program itself for a list.

    In a list, `${input.files}` alone becomes several arguments. In a text every value is quoted for the place
    where it stands, so that it arrives unchanged inside and outside of quotes.
    """
    if isinstance(command, str):
        return ["bash", "-c", _substitute_bash(command, context)]
    arguments: list[str] = []
    for item in command:
        value = _substitute_text(item, context)
        arguments.extend(map(str, value) if isinstance(value, list) else [str(value)])
    return arguments


def _advice(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name.strip().lower(), [*KNOWN, "env:NAME"], n=1, cutoff=0.5)
    if close:
        return f"did you mean `${{{close[0]}}}`?"
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return f"an environment variable is `${{env:{name}}}`, and `$${{` stands for `${{` itself"
    return f"there are {', '.join(f'`${{{known}}}`' for known in KNOWN)} and `${{env:NAME}}`"


def _value(name: str, context: Mapping[str, Any]) -> Any:
    variable = _ENV.match(name)
    if variable:
        environment = context.get("env", {})
        if variable[1] not in environment:
            raise PlaceholderError(f"`${{{name}}}`: the environment variable {variable[1]} is not set in the job")
        return environment[variable[1]]
    if name not in KNOWN:
        raise PlaceholderError(f"`${{{name}}}` is not a placeholder; {_advice(name)}")
    if context.get(name) is None:
        raise PlaceholderError(f"`${{{name}}}` has no value in this run")
    return context[name]


def _substitute_text(text: str, context: Mapping[str, Any]) -> Any:
    parts: list[str] = []
    end = 0
    for found in find(text):
        parts.append(text[end : found.start])
        end = found.end
        if found.escaped:
            parts.append("${")
            continue
        if found.name is None:
            raise PlaceholderError("`${` is not closed; write `$${` where the text itself is meant")
        value = _value(found.name, context)
        if (found.start, found.end) == (0, len(text)):
            return value
        if isinstance(value, (list, tuple)):
            raise PlaceholderError(f"`${{{found.name}}}` is a list and must stand alone, not inside {text!r}")
        parts.append(str(value))
    return "".join([*parts, text[end:]])


def _substitute_bash(text: str, context: Mapping[str, Any]) -> str:
    found_here = [found for found in find(text) if found.escaped or found.known]
    where = places(text, [found.start for found in found_here])
    parts: list[str] = []
    end = 0
    for found, place in zip(found_here, where, strict=True):
        parts.append(text[end : found.start])
        end = found.end
        if found.escaped or found.name is None:
            parts.append("${")
            continue
        value = _value(found.name, context)
        values = [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]
        parts.append(_quoted(found.name, values, place))
    return "".join([*parts, text[end:]])


def _quoted(name: str, values: list[str], place: Place) -> str:
    """The values as bash source that means exactly them, at this place of a command."""
    if place is Place.BARE:
        return " ".join(map(shlex.quote, values))
    if place is Place.DOUBLE:
        return '" "'.join(re.sub(r'([\\"$`])', r"\\\1", value) for value in values)
    if any(shlex.quote(value) != value for value in values):
        raise PlaceholderError(
            f"`${{{name}}}` stands inside single quotes, backticks or a here-document of pipeline.command, where its "
            f"value {' '.join(values)!r} cannot be quoted; put it in double quotes, or give the command as a list"
        )
    return " ".join(values)
