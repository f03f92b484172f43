"""Environment that cosmos-xenna expects, importable without Ray or cosmos-xenna.

The node agent puts them into the environment of ``ray start`` on every node, so this module must stay free of heavy
imports.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from curator_slurm.executors.runtime_env import NOSET_CUDA

XENNA_METRICS_PORT = "XENNA_RAY_METRICS_PORT"
"""Where set, cosmos-xenna sleeps ten seconds at the end of each run so that metrics are scraped once more."""

API_LIMIT = "40000"

STATE_LIMITS: dict[str, str] = {
    "RAY_MAX_LIMIT_FROM_API_SERVER": API_LIMIT,
    "RAY_MAX_LIMIT_FROM_DATA_SOURCE": API_LIMIT,
}
"""How much Ray tells of its state at once. cosmos-xenna asks for so much, and fails where the head's Ray, or its own
process, has no such limit. To other programs they are harmless, so that every Ray has them: a command may be a program
of NeMo Curator, whose own launchers set them."""

RAY_START_ENV: dict[str, str] = {NOSET_CUDA: "1", **STATE_LIMITS}
"""What must be in the environment of ``ray start`` on every node for cosmos-xenna to work fully."""


@contextmanager
def scoped_environment(changes: dict[str, str | None]) -> Iterator[None]:
    """Apply ``changes`` (None removes), then restore these variables and the ones cosmos-xenna sets itself."""
    touched = {*changes, *RAY_START_ENV}
    before = {name: os.environ.get(name) for name in touched}
    try:
        _apply(changes)
        yield
    finally:
        _apply(before)


def _apply(changes: dict[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
