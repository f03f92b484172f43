"""The end of an agent: every step is taken, whatever became of those before it."""

from __future__ import annotations

from collections.abc import Callable

from curator_slurm.launcher.agent.context import log


def take_steps(*steps: tuple[str, Callable[[], object]]) -> None:
    """Take all steps in their order; one that fails is logged by its name, and keeps no other from being taken."""
    for name, step in steps:
        try:
            step()
        except Exception:
            log.exception("%s failed", name)
