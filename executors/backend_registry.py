"""Executors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_slurm.common.named_objects import import_named
from curator_slurm.executors.known_options import BACKENDS


def load_executor(name: str) -> Any:
    """The class behind a back end's name, or behind `module:Class`.

    Raises:
        ValueError: there is no such back end.
    """
    entry = BACKENDS.get(name, name)
    if ":" not in entry:
        raise ValueError(f"unknown executor {name!r}: use {', '.join(BACKENDS)}, or module:Class")
    return import_named(entry)


def make_executor(name: str, config: Mapping[str, Any] | None = None) -> Any:
    """An executor with this config."""
    return load_executor(name)(dict(config or {}))
