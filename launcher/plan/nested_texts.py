"""The texts in values of a spec, however deep they lie. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def nested_texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """(key, text) of each, with the keys and numbers that lead there: `pipeline.args.files.0`."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from nested_texts(f"{key}.{name}", item)
    elif isinstance(value, Iterable):
        for index, item in enumerate(value):
            yield from nested_texts(f"{key}.{index}", item)
