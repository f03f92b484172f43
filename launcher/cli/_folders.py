"""Where verbs look for runs, and whose they find."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from curator_slurm.launcher.runs import owners
from curator_slurm.launcher.runs.known_folders import known_folders

if TYPE_CHECKING:
    from curator_slurm.launcher.runs.registry import Run


def folders_of(runs_dir: Path | None) -> list[Path]:
    """The folder that was given, else every folder that this user has submitted to."""
    if not runs_dir:
        return known_folders(os.environ)
    from curator_slurm.launcher.files import expanded

    return [expanded(runs_dir).absolute()]


def run_to_read(text: str | None, runs_dir: Path | None) -> Run:
    """The run that `text` means, else the latest; of somebody else's, stderr says whose it is."""
    from curator_slurm.launcher.runs import registry

    folders = folders_of(runs_dir)
    run = registry.find_run(text, folders) if text else registry.latest_run(folders)
    if note := owners.whose(run.paths):
        from curator_slurm.launcher.cli._terminal import say

        say(f"Note: {note}", err=True)
    return run
