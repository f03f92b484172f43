"""Where verbs look for runs."""

from __future__ import annotations

import os
from pathlib import Path

from curator_slurm.launcher.runs import registry


def folders_of(runs_dir: Path | None) -> list[Path]:
    """The folder that was given, else every folder that this user has submitted to."""
    return [runs_dir.expanduser().absolute()] if runs_dir else registry.known_folders(os.environ)
