"""The JSON schema of a spec or a site file, as editors want it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from curator_slurm.launcher._version import __version__
from curator_slurm.launcher.spec.merging import APPEND
from curator_slurm.launcher.spec.model import Spec

_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def schema(root: type[BaseModel] = Spec, title: str = "curator-slurm spec") -> dict[str, Any]:
    """Schema of everything that can be in a file of the class `root` of this version."""
    found: dict[str, Any] = _tidy(root.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"printed by curator-slurm {__version__}",
        **found,
        "title": title,
    }


def _tidy(value: Any) -> Any:
    """Bounds under their names in JSON schema; sections may be left empty, as the reader of specs allows it."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    tidy = {_BOUNDS.get(key, key): _tidy(item) for key, item in value.items()}
    if "$ref" in tidy:
        others = {key: item for key, item in tidy.items() if key not in ("$ref", "title")}
        return {**others, "anyOf": [{"$ref": tidy["$ref"]}, {"type": "null"}]}
    if isinstance(tidy.get("properties"), dict):
        lists = {name: item for name, item in tidy["properties"].items() if _takes_list(item)}
        tidy["properties"].update({f"{name}{APPEND}": item for name, item in lists.items()})
    if isinstance(tidy.get("title"), str):
        del tidy["title"]
    return tidy


def _takes_list(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return (value.get("type") == "array" and "items" in value) or any(map(_takes_list, value.get("anyOf", ())))
