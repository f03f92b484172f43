"""JSON schemas of what `--json` prints, made of the classes of `views`; docs/schemas/ has them as files."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from inspect import getdoc
from typing import Any, Union, get_args, get_origin, get_type_hints

from curator_slurm.launcher.status.views import DOCUMENTS

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", types.NoneType: "null"}


def schema_of(document: str, kind: Any = None) -> dict[str, Any]:
    """The schema of one of DOCUMENTS, such as status, or of another that holds what is of the class `kind`."""
    definitions: dict[str, Any] = {}
    found = _schema(DOCUMENTS[document] if kind is None else kind, definitions)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"curator-slurm {document} --json"}
    return {**head, **found, "$defs": dict(sorted(definitions.items()))}


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind in _TYPES:
        return {"type": _TYPES[kind]}
    if get_origin(kind) in (Union, types.UnionType):
        return _union([_schema(each, definitions) for each in get_args(kind)])
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0], definitions)}
    if get_origin(kind) is Mapping:
        return {"type": "object", "additionalProperties": _schema(get_args(kind)[1], definitions)}
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # for classes that hold themselves
        definitions[kind.__name__] = _definition(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _definition(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    about = {"description": " ".join((getdoc(kind) or "").split())}
    if issubclass(kind, StrEnum):
        return {**about, "type": "string", "enum": [each.value for each in kind]}
    assert is_dataclass(kind), kind
    hints = get_type_hints(kind)
    properties = {each.name: _schema(hints[each.name], definitions) for each in fields(kind)}
    return {
        **about,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _union(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Plain types as a list of them; anything else as alternatives."""
    if all(set(part) == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}
