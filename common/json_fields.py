"""The fields of records in JSON files: of the type that their class says, and no number out of range.

A file of a run may have been damaged, edited, or written by somebody else; a string where a number should be must not
surface as a TypeError somewhere else, nor a count of 10**12 as a command that never ends.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

MOST = 10**15
"""No number in our files is larger, sizes in bytes included."""
END_OF_TIME = 253_402_300_799
"""The last second of the year 9999, as seconds since the epoch."""


def text(value: object) -> str | None:
    """A string that can be written, and be part of a path: half a surrogate pair, which no name of a file has, is
    replaced."""
    if not isinstance(value, str):
        return None
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def whole(value: object) -> int | None:
    """A number, without its fraction."""
    found = number(value)
    return int(found) if found is not None else None


def number(value: object) -> float | None:
    """A finite number of a sensible size; truth values are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -MOST <= value <= MOST and math.isfinite(value) else None


def moment(value: object) -> float | None:
    """Seconds since the epoch that a calendar has."""
    found = number(value)
    return found if found is not None and 0 <= found <= END_OF_TIME else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: object) -> int | None:
    return whole(value) if isinstance(value, int) else None


def _texts(value: object) -> tuple[str, ...] | None:
    is_list = isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value)
    return tuple(value) if is_list else None  # type: ignore[arg-type]


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


def _text_mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) and all(isinstance(each, str) for each in value.values()) else None


_KINDS: Mapping[str, tuple[Callable[[object], Any], str]] = {
    "str": (text, "a string"),
    "bool": (_flag, "true or false"),
    "int": (_integer, "an integer"),
    "float": (moment, "a time in seconds"),
    "tuple[str, ...]": (_texts, "a list of strings"),
    "Mapping[str, str]": (_text_mapping, "an object of strings"),
    "Mapping[str, Any]": (_mapping, "an object"),
}


def checked(kind: type[Any], value: object, *others: str) -> dict[str, Any]:
    """The fields of the dataclass `kind` that the object has, each of its kind; `others` are left as they are.

    Floats are times. Fields that the class does not have are ignored, as they may be of a later version.

    Raises:
        ValueError: it is no object, or a field has another kind.
    """
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    found = {}
    for name, wanted, optional in _fields_of(kind):
        if name not in value:
            continue
        raw = value[name]
        if name in others or (raw is None and optional):
            found[name] = raw
            continue
        read, words = _KINDS[wanted]
        found[name] = read(raw)
        if found[name] is None:
            raise ValueError(f"`{name}` must be {words}; found {_shown(raw)}")
    return found


_fields: dict[type[Any], list[tuple[str, str, bool]]] = {}


def _fields_of(kind: type[Any]) -> list[tuple[str, str, bool]]:
    """The name of each field, the type that it has, and whether it may be None; kept, as there are many records."""
    if kind not in _fields:
        parts = ((each.name, *str(each.type).partition(" | ")) for each in fields(kind))
        _fields[kind] = [(name, wanted, none == "None") for name, wanted, _, none in parts]
    return _fields[kind]


_Record = TypeVar("_Record")


def made(kind: type[_Record], values: Mapping[str, Any]) -> _Record:
    """A record of these fields; raises ValueError where some are missing."""
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"fields are missing: {error}") from error


def _shown(value: object) -> str:
    """A value for a message, whatever its size."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    shown = repr(value) if not isinstance(value, int) or abs(value) <= MOST else "an absurdly large number"
    return shown if len(shown) <= 60 else f"{shown[:60]}..."
