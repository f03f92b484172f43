"""Paths of this machine and fsspec addresses such as `s3://bucket/key`, told apart in one way. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

LOCAL = "file://"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*::)*[A-Za-z][A-Za-z0-9+.-]*")


def is_address(path: str) -> bool:
    """Whether this is an fsspec address, chained ones (`zip::s3://...`) and `file://` included."""
    end = path.find("://")
    return end > 0 and _is_scheme(path[:end])


@lru_cache(maxsize=64)
def _is_scheme(text: str) -> bool:
    return _SCHEME.fullmatch(text) is not None


def is_remote(path: str) -> bool:
    """Whether this is an address of a store; `file:///data` is a path of this machine in other words."""
    return is_address(path) and not path.startswith(LOCAL)


def without_scheme(path: str) -> str:
    """A local path without `file://`; anything else as it is."""
    return path.removeprefix(LOCAL)
