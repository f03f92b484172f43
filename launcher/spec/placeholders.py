"""The placeholders of a spec, such as `${output_dir}`: which there are, and how they are replaced by values.

Everything here is pure. `find` and `errors_in` serve the check of a spec; `substitute` serves the driver, which knows
the values, and so does `command_text` for commands. A context maps the names of `KNOWN` to values, `env` to the
environment, and `secrets` to the names of those variables that are secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from curator_slurm.launcher.errors import PlaceholderError

KNOWN = {
    "shard.files": "the input files of this shard; without shards, all input files",
    "shard.index": "the number of this shard, from 0",
    "input.files": "all input files",
    "output_dir": "the output folder; published when the run has succeeded",
    "run_dir": "the run directory",
}
"""Name -> its value; `env:NAME` exists too."""
LISTS = frozenset({"shard.files", "input.files"})
"""Placeholders that stand for a list of files and need `input:` in the spec."""

_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[^{}]*)\}|\$\{")
ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)\Z")


@dataclass(frozen=True)
class Placeholder:
    """One `${name}` in a string; `name` is None if the brace is never closed."""

    name: str | None
    start: int
    end: int
    escaped: bool = False

    @property
    def known(self) -> bool:
        return self.name is not None and (self.name in KNOWN or bool(ENV.match(self.name)))


def find(text: str) -> Iterator[Placeholder]:
    """Every placeholder and every escape `$${` of a text, in order."""
    for match in _TOKEN.finditer(text):
        escaped = match.group().startswith("$$")
        yield Placeholder(match["name"], match.start(), match.end(), escaped)


def errors_in(text: str, has_input: bool, bash: bool = False) -> Iterator[str]:
    """Errors in the placeholders of a string; in a `bash` command, an unknown `${...}` is left to bash."""
    for found in find(text):
        if found.escaped or (bash and not found.known):
            continue
        if found.name is None:
            yield "`${` is not closed; write `$${` for a literal `${`"
        elif not found.known:
            yield f"`${{{found.name}}}` is not a placeholder; {_advice(found.name)}"
        elif found.name in LISTS and not has_input:
            yield f"`${{{found.name}}}` requires `input.paths` or `input.manifest`"
        elif found.name in LISTS and not bash and (found.start, found.end) != (0, len(text)):
            yield f"`${{{found.name}}}` is a list of files and must stand alone, not inside a longer string"


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


def _advice(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name.strip().lower(), [*KNOWN, "env:NAME"], n=1, cutoff=0.5)
    if close:
        return f"did you mean `${{{close[0]}}}`?"
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return f"an environment variable is `${{env:{name}}}`, and a literal `${{` is `$${{`"
    return f"the placeholders are {', '.join(f'`${{{known}}}`' for known in KNOWN)} and `${{env:NAME}}`"


def value_of(name: str, context: Mapping[str, Any]) -> Any:
    """The value of one placeholder: a string, a number, or a list of files.

    Raises:
        PlaceholderError: there is no such placeholder, or it has no value in this run.
    """
    variable = ENV.match(name)
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
            raise PlaceholderError("`${` is not closed; write `$${` for a literal `${`")
        value = value_of(found.name, context)
        if (found.start, found.end) == (0, len(text)):
            return value
        if isinstance(value, (list, tuple)):
            raise PlaceholderError(f"`${{{found.name}}}` is a list and must stand alone, not inside {text!r}")
        parts.append(str(value))
    return "".join([*parts, text[end:]])
