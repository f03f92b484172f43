"""Which runs `list` shows, and their states: one question to Slurm for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curator_slurm.launcher.runs.registry import load_run
from curator_slurm.launcher.runs.run_folders import run_directories
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer
from curator_slurm.launcher.status.describe import rows
from curator_slurm.launcher.status.gather import statuses_of
from curator_slurm.launcher.status.views import RunRow


def list_runs(
    folders: Sequence[Path],
    *,
    name: str | None = None,
    state: str | None = None,
    limit: int = 0,
    of_others: bool = False,
    answer: SlurmAnswer | None = None,
) -> tuple[list[RunRow], int]:
    """The newest runs (also those `of_others`), and how many there are in all; `limit` 0 is no limit.

    Slurm is asked unless its `answer` is given.
    """
    directories = run_directories(folders, name or "*", of_others=of_others)
    shown = directories[:limit] if limit and state is None else directories
    runs = [load_run(path) for path in shown]
    found = rows(runs, statuses_of(runs, answer, shares=True))
    if state is None:
        return found, len(directories)
    matching = [row for row in found if row.state == state]
    return matching[:limit] if limit else matching, len(matching)
