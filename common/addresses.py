"""Paths of this machine and fsspec addresses such as `s3://bucket/key`, told apart in one way. Pure."""

from __future__ import annotations

import re

LOCAL = "file://"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*::)*[A-Za-z][A-Za-z0-9+.-]*://")


def is_address(path: str) -> bool:
    """Whether this is an fsspec address, chained ones (`zip::s3://...`) and `file://` included."""
    return _SCHEME.match(path) is not None


def is_remote(path: str) -> bool:
    """Whether this is an address of a store; `file:///data` is a path of this machine in other words."""
    return is_address(path) and not path.startswith(LOCAL)


def without_scheme(path: str) -> str:
    """A local path without `file://`; anything else as it is."""
    return path.removeprefix(LOCAL)
