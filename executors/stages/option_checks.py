"""Checks of arguments that stages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def check_choice(owner: str, options: Mapping[str, Any], name: str, choices: Sequence[str | None]) -> None:
    """Check an option that is one of a few words.

    Raises:
        ValueError: it is another one.
    """
    if name in options and options[name] not in choices:
        known = f"{', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}"
        raise ValueError(f"{owner}: {name} must be {known}, not {options[name]!r}")


def check_options(owner: str, key: str, given: Mapping[str, Any] | None, known: Iterable[str]) -> dict[str, Any]:
    """The options of a dictionary argument such as `read_kwargs`, as a dictionary of their own.

    Raises:
        ValueError: an option is unknown; suggests the nearest known one.
    """
    options = dict(given or {})
    names = sorted(set(known))
    for name in options:
        if name not in names:
            close = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
            raise ValueError(f"{owner}: {key} has no option {name!r}; {hint}")
    return options
