"""Overrides as Python has them, in the form of `--set`: KEY=VALUE, the value as YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from numbers import Number
from os import PathLike, fspath
from typing import Any

import yaml

from curator_slurm.launcher.errors import UsageError

Overrides = Mapping[str, Any]


class _OneLine(yaml.SafeDumper):
    """Texts of several lines in double quotes, where their ends are escaped."""


_OneLine.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"' if "\n" in text else None)
)


def set_options(overrides: Overrides | None) -> list[str]:
    """`{"resources": {"nodes": 8}, "resources.time": "1:00:00"}` as KEY=VALUE, one for each setting.

    Keys may be dotted; a nested mapping changes what it names and leaves the rest of the section as it is.

    Raises:
        UsageError: a key or a value cannot be part of a spec.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise UsageError(f"overrides: a mapping is expected, such as {{'resources.nodes': 8}}, not {overrides!r:.60}")
    return [f"{key}={_yaml(key, value)}" for key, value in _leaves("", overrides or {})]


def _leaves(prefix: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if not isinstance(name, str | int) or "=" in str(name):
            raise UsageError(f"overrides: {name!r} is no key of a spec; write {{'resources.nodes': 8}}")
        key = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping) and value:
            yield from _leaves(key, value)
        else:
            yield key, value


def _yaml(key: str, value: Any) -> str:
    """A value on one line of YAML."""
    try:
        text = yaml.dump(plain(value), Dumper=_OneLine, default_flow_style=True, width=float("inf"), allow_unicode=True)
    except yaml.YAMLError as error:
        raise UsageError(
            f"overrides: the value of `{key}` cannot be part of a spec: {type(value).__name__} {value!r:.60}"
        ) from error
    return text.removesuffix("...\n").strip()


def plain(value: Any) -> Any:
    """The value in YAML's own types: paths and enums as text, tuples as lists, NumPy's numbers as Python's."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Number) and hasattr(value, "item"):
        return value.item()
    return value
