"""Where a folder of `environment.stage_paths` is on this node: on its own disk, or else where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

STAGED = "CURATOR_SLURM_STAGED"
"""The variable that says what a node has of what was staged, as JSON."""


def staged_path(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> str:
    """The path of the copy on this node; the path itself where there is none.

    A node whose disk was full has no copy, so this is asked where a stage works, not where it is made.
    """
    text = os.path.normpath(os.fspath(path))
    paths = staged_here(environ).get("paths") or {}
    for name in sorted(paths, key=len, reverse=True):
        if text == name or text.startswith(f"{name}/"):
            return f"{paths[name]}{text[len(name) :]}"
    return os.fspath(path)


def staged_here(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What this node has; empty where nothing was to be staged."""
    try:
        value = json.loads((os.environ if environ is None else environ).get(STAGED, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
