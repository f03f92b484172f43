"""The end of an agent: every step is taken, whatever became of those before it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from curator_slurm.common.atomic_files import replaced
from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.waiting import Patience

STORAGE_S = 60.0
"""How long an end waits for storage that takes no writes."""
_PAUSE_S = 1.0
_PROBE = bytes(64 << 10)
"""More than what a full disk still has room for somewhere."""


def take_steps(*steps: tuple[str, Callable[[], object]]) -> None:
    """Take all steps in their order; one that fails is logged by its name, and keeps no other from being taken."""
    for name, step in steps:
        try:
            step()
        except Exception:
            log.exception("%s failed", name)


def wait_for_storage(folder: Path, pause: Callable[[float], bool], limit_s: float | None = None) -> None:
    """Until a file can be written in this folder, or for a while; else nobody learns how the run has ended.

    `pause` sleeps, and says whether there is no time to wait any more.
    """
    patience = Patience(STORAGE_S if limit_s is None else limit_s, 5 * _PAUSE_S)
    while not _takes_writes(folder):
        if patience.is_over() or pause(_PAUSE_S):
            log.warning("%s takes no writes: how this ends may not be known later", folder)
            return


def _takes_writes(folder: Path) -> bool:
    probe = folder / "probe"
    try:
        with replaced(probe) as path, path.open("wb", buffering=0) as file:
            file.write(_PROBE)
            os.fsync(file.fileno())
        probe.unlink()
    except OSError:
        return False
    return True
