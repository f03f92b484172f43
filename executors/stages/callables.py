"""Functions and objects given in YAML: by name, or by name and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.common.named_objects import import_named

_METHODS = ("score_document", "keep_document", "modify_document")


def resolve(given: Any) -> Any:
    """Resolve an argument: `module:name` is imported, `{use: module:Class, with: {...}}` is instantiated.

    A class of filters or modifiers, given directly or by name alone, is instantiated without arguments; other classes,
    such as `str`, are functions. Anything else is returned unchanged.

    Raises:
        ValueError: the name cannot be imported.
    """
    if isinstance(given, Mapping):
        if "use" not in given or set(given) - {"use", "with"}:
            raise ValueError(f"{dict(given)!r} must be {{use: module:Class, with: {{...}}}}")
        return _named(given["use"])(**dict(given.get("with") or {}))
    if isinstance(given, str):
        given = _named(given)
    return given() if isinstance(given, type) and any(hasattr(given, name) for name in _METHODS) else given


def _named(name: Any) -> Any:
    try:
        return import_named(str(name))
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{name!r} cannot be imported: {error}") from error


def name_of(thing: Any) -> str:
    """A short name of a function or object, for stages and statistics."""
    own = getattr(thing, "name", None)
    if isinstance(own, str) and own:
        return own
    return str(getattr(thing, "__name__", type(thing).__name__))


def one_each(key: str, given: Any, count: int) -> list[Any]:
    """An argument that is one value for all functions, or a list with one for each.

    Raises:
        ValueError: the list has another length.
    """
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(
            f"{key} has {several(len(values), 'value')} for "
            f"{several(count, 'function')}; give one value, or one per function"
        )
    return values


def as_list(given: Any) -> list[Any]:
    """The functions or objects of an argument, resolved.

    Raises:
        ValueError: there is none, or one is neither callable nor an object with methods.
    """
    things = [resolve(thing) for thing in (given if isinstance(given, (list, tuple)) else [given])]
    if not things:
        raise ValueError("give at least one function")
    return things
