"""What earlier runs have left that nobody has looked at since: their secrets go with the next submission."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Iterator
from pathlib import Path

from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.runs.owners import is_own
from curator_slurm.launcher.runs.paths import RunPaths
from curator_slurm.launcher.runs.registry import load_run
from curator_slurm.launcher.runs.run_folders import RUN_ID
from curator_slurm.launcher.status.gather import statuses_of

NEWEST = 100
"""Runs that are looked at: older ones were among them when these were submitted."""


def sweep_secrets(folder: Path, but: Path) -> None:
    """Remove the secrets of our newest runs in `folder` that are over, `but` those of one run; best effort.

    Names are read of all runs, files of the newest that have secrets still, and Slurm is asked once, if there are any.
    """
    newest = heapq.nlargest(NEWEST, _names(folder))
    found = [path for _, path in newest if path != but and RunPaths(path).secrets.is_dir() and is_own(path)]
    with contextlib.suppress(CuratorSlurmError, OSError):
        statuses_of([load_run(path) for path in found])  # whoever finds a run over removes its secrets


def _names(folder: Path) -> Iterator[tuple[str, Path]]:
    """Id and path of all that may be a run."""
    with contextlib.suppress(OSError), os.scandir(folder) as parents:
        for parent in parents:
            with contextlib.suppress(OSError):
                for name in os.listdir(parent.path) if parent.is_dir() else ():  # noqa: PTH208 (thousands of runs)
                    if RUN_ID.fullmatch(name):
                        yield name, Path(parent.path, name)
