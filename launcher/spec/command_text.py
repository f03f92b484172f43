"""What runs for `pipeline.command`: an argument list, or a bash script in which no value is ever source text. Pure.

Values of a text command are bound to variables of bash at the top of the script, and a reference to the variable takes
the place of the placeholder: whatever a file is called, bash expands it and never parses it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from curator_slurm.launcher.errors import PlaceholderError
from curator_slurm.launcher.shell import is_plain, quote
from curator_slurm.launcher.spec.bash_places import Quoting, places
from curator_slurm.launcher.spec.placeholders import ENV, LISTS, Placeholder, find, substitute, value_of

MAX_TEXT, MAX_PLACEHOLDERS = 20_000, 200
"""Of a command with placeholders: more takes long to look at, and nobody writes it."""
_WHERE = (
    "is where bash does not expand a variable or takes its value as source text (single quotes, backticks, a "
    "here-document, arithmetic, an argument of eval, trap, declare, sed, `bash -c` and the like)"
)
_CURE = (
    "put it in double quotes outside of that, pass it on as an argument (such as `bash -c 'sort \"$@\"' _ "
    '"${input.files}"`), or give the command as a list'
)


def argument_list(command: Sequence[str], context: Mapping[str, Any]) -> list[str]:
    """The arguments of a command given as a list; `${input.files}` alone becomes several of them."""
    arguments: list[str] = []
    for item in command:
        value = substitute(item, context)
        arguments.extend(map(str, value) if isinstance(value, list) else [str(value)])
    return arguments


def errors_in_text(text: str) -> Iterator[str]:
    """Placeholders of a text command that nothing can make safe: a file name there would run as a command.

    The folders of the run may stand there; whether their names are plain is seen when they are known.
    """
    found_here = _placeholders(text)
    if found_here and (len(text) > MAX_TEXT or len(found_here) > MAX_PLACEHOLDERS):
        yield (
            f"a command given as text may have {MAX_TEXT:,} characters and {MAX_PLACEHOLDERS} placeholders; this has "
            f"{len(text):,} and {len(found_here):,}; put it into a script, and pass it the values as arguments"
        )
        return
    for found, place in _places(text, found_here):
        if place is Quoting.OTHER and found.name is not None and (found.name in LISTS or ENV.match(found.name)):
            yield f"`${{{found.name}}}` {_WHERE}; its value could run as a command; {_CURE}"


def bash_script(text: str, context: Mapping[str, Any]) -> str:
    """The script of a command given as text: a line for each value, then the text with references to them.

    Values of the environment are not written down, bash takes them from its own; where it cannot, those that are plain
    and no secrets are.

    Raises:
        PlaceholderError: a value is missing, or stands where bash expands no variable (single quotes, backticks, a
            here-document, arithmetic) and has characters that would have to be quoted.
    """
    found_here = _placeholders(text)
    bindings: dict[str, str] = {}
    parts: list[str] = []
    end = 0
    for found, place in _places(text, found_here):
        parts.append(text[end : found.start])
        end = found.end
        if found.escaped or found.name is None:
            parts.append("${")
            continue
        value = value_of(found.name, context)
        variable = "curator_slurm_" + re.sub(r"\W", "_", found.name)
        if place is Quoting.OTHER:
            parts.append(_literal(found.name, value, context.get("secrets", ())))
            continue
        bindings[variable] = _binding(found.name, value)
        reference = f"${{{variable}[@]}}" if isinstance(value, (list, tuple)) else f"${{{variable}}}"
        parts.append(f'"{reference}"' if place is Quoting.BARE else reference)
    script = "".join([*parts, text[end:]])
    return "".join(f"{name}={source}\n" for name, source in bindings.items()) + script


def _placeholders(text: str) -> list[Placeholder]:
    """Those that are ours; any other `${...}` is bash's."""
    return [found for found in find(text) if found.escaped or found.known]


def _places(text: str, found_here: Sequence[Placeholder]) -> Iterator[tuple[Placeholder, Quoting]]:
    where = places(_blanked(text, found_here), [found.start for found in found_here])
    return zip(found_here, where, strict=True)


def _blanked(text: str, found_here: Sequence[Placeholder]) -> str:
    """The text with a plain word in the place of each placeholder, so that its own braces are not taken for bash's."""
    parts: list[str] = []
    end = 0
    for found in found_here:
        parts += [text[end : found.start], ("$${" if found.escaped else "_" * (found.end - found.start))]
        end = found.end
    return "".join([*parts, text[end:]])


def _binding(name: str, value: Any) -> str:
    """What stands behind `variable=`."""
    if variable := ENV.match(name):
        return f"${{{variable[1]}}}"
    if isinstance(value, (list, tuple)):
        return f"({' '.join(quote(str(item)) for item in value)})"
    return quote(str(value))


def _literal(name: str, value: Any, secrets: Collection[str]) -> str:
    """The value itself, which only plain characters make safe wherever it stands; of a secret, nothing."""
    if name.removeprefix("env:") in secrets:
        raise PlaceholderError(
            f"`${{{name}}}` {_WHERE} in pipeline.command, where the secret itself would be written into command.sh; "
            "put it in double quotes outside of that, or read the variable there"
        )
    values = [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]
    if all(map(is_plain, values)):
        return " ".join(values)
    shown = "" if ENV.match(name) else f" {' '.join(values)!r}"
    raise PlaceholderError(
        f"`${{{name}}}` {_WHERE} in pipeline.command, and its value{shown} would have to be quoted; {_CURE}"
    )
