"""Halves of surrogate pairs in text, as a cut through an emoji leaves them: no UTF-8, and so no text of Arrow's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CHOICES = ("keep", "replace", "drop")
"""What `lone_surrogates` may be: as it is, U+FFFD in its place, or without the row, which is recorded as failed."""
_HALF = re.compile("[\ud800-\udfff]")


def has_lone_surrogate(value: Any) -> bool:
    """Whether there is one in a text, at any depth of a nested value."""
    if isinstance(value, str):
        return not value.isascii() and _HALF.search(value) is not None
    if isinstance(value, Mapping):
        return any(has_lone_surrogate(key) or has_lone_surrogate(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(map(has_lone_surrogate, value))
    return False


def without_lone_surrogates(value: Any) -> Any:
    """The value with U+FFFD in place of each."""
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {without_lone_surrogates(key): without_lone_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_lone_surrogates(item) for item in value]
    return value
