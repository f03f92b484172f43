"""Pydantic's errors in users' terms: which key, what was found, what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from curator_slurm.launcher.spec.keys import dotted, section_at, settings, unknown_key
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.yaml_document import Path

MAX_LENGTH = 2000

_WANTED = {
    "bool_": "true or false",
    "int_": "an integer",
    "float_": "a number",
    "finite_number": "a finite number",
    "string_": "a string",
    "list_": "a list",
    "tuple_": "a list of two numbers",
    "dict_": "a section (keys and values)",
    "model_": "a section (keys and values)",
}
"""Start of the type of an error -> what is expected."""


def sentence(error: ErrorDetails, path: Path, root: type[BaseModel] = Spec) -> str:
    """What is wrong at `path` of a file of the class `root`."""
    kind, context, found = error["type"], error.get("ctx", {}), error["input"]
    label = f"`{dotted(path)}`"
    if kind == "problem":
        return str(context["message"])
    if kind == "extra_forbidden":
        return unknown_key(path, root)
    if kind == "missing":
        return f"{label} is missing{_purpose(path, root)}"
    if kind == "value_error":
        return f"{label}: {context['error']}" if _is_key_error(error) else f"{label} {context['error']}"
    if kind == "enum":
        return _enum(label, str(context.get("expected", "")), found)
    if kind in ("too_short", "string_too_short"):
        wanted = "a list of two numbers" if context.get("field_type") == "Tuple" else ""
        return f"{label} must be {wanted}" if wanted else f"{label} must not be empty"
    if kind == "too_long":
        return f"{label} must be a list of two numbers; found {describe(found)}"
    for bound, words in (
        ("greater_than_equal", "at least"),
        ("less_than_equal", "at most"),
        ("greater_than", "more than"),
        ("less_than", "less than"),
    ):
        if kind == bound:
            limit = next(context[name] for name in ("ge", "le", "gt", "lt") if name in context)
            return f"{label} must be {words} {limit:g}; found {describe(found)}"
    for start, wanted in _WANTED.items():
        if kind.startswith(start):
            return f"{label} must be {wanted}; found {describe(found)}"
    return f"{label}: {error['msg']}"


def keys_of(error: ErrorDetails) -> Sequence[str]:
    """The dotted keys that an error of a whole section is about."""
    keys: Sequence[str] = error.get("ctx", {}).get("keys", ())
    return keys


def path_of(error: ErrorDetails, data: Any) -> Path:
    """Where in the user's data the error is; pydantic adds names of types and of missing keys."""
    path: Path = ()
    for part in error["loc"]:
        inside = data[part] if _has(data, part) else None
        if not _has(data, part) and error["type"] != "missing":
            break
        path, data = (*path, part), inside
    return path


def describe(value: Any) -> str:
    """A value as a user wrote it, in short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "a section" if value else "an empty section"
    text = repr(value) if not isinstance(value, str) else f"the string {value!r}"
    return text if len(text) <= 80 else text[:76] + "..."


def shortened(message: str) -> str:
    """A sentence without the middle of a value that fills pages."""
    return message if len(message) <= MAX_LENGTH else f"{message[: MAX_LENGTH // 2]} ... {message[-MAX_LENGTH // 2 :]}"


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, dict):
        return part in data
    return isinstance(data, list) and isinstance(part, int) and part < len(data)


def _is_key_error(error: ErrorDetails) -> bool:
    return bool(error["loc"]) and error["loc"][-1] == "[key]"


def _purpose(path: Path, root: type[BaseModel]) -> str:
    section = section_at(path[:-1], root)
    if section is None or path[-1] not in settings(section):
        return ""
    for name, info in section.model_fields.items():
        if (info.alias or name) == path[-1]:
            below = section_at(path, root)
            text = info.description or (below.__doc__ if below else "") or ""
            return f": {text.strip().rstrip('.')}" if text else ""
    return ""


def _enum(label: str, expected: str, found: Any) -> str:
    choices = [choice.strip().strip("'") for choice in expected.replace(" or ", ", ").split(",")]
    close = get_close_matches(str(found), choices, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{label} must be one of {', '.join(choices)}; found {describe(found)}{hint}"
