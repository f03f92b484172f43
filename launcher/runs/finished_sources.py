"""How many source partitions of a shard were finished at the end of an attempt, counted from the first attempt on."""

from __future__ import annotations

import contextlib
from pathlib import Path

from curator_slurm.common.checkpoint_files import log_files, read_finished
from curator_slurm.common.json_fields import whole
from curator_slurm.launcher.files import folders_in, read_object
from curator_slurm.launcher.runs.attempt_names import is_attempt
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths


def finished_sources(run: RunPaths, shard: int, attempt: str) -> int:
    """Of an attempt by its name: by its log, else what it has said itself, else what was taken over from it."""
    paths = run.attempt(shard, attempt)
    if paths.checkpoint.is_dir():
        return count_finished(paths)
    said = whole((read_object(paths.outcome) or {}).get("sources_finished"))
    if said is not None:
        return said
    for folder in folders_in(paths.root.parent):
        if is_attempt(folder.name):
            taken = read_object(AttemptPaths(folder, run).takeover) or {}
            if taken.get("of") == attempt:
                return whole(taken.get("sources_before")) or 0
    return 0


def count_finished(attempt: AttemptPaths) -> int:
    """What the log in an attempt's own folder has."""
    return count_in(attempt.checkpoint)


def count_in(checkpoint_path: Path) -> int:
    """What all logs in a folder have."""
    return len(set().union(*(file.sources for file in read_finished(checkpoint_path))))


def last_finished(checkpoint: Path) -> float | None:
    """When the last source partition was recorded in a log, by the clock of the storage; None where none was."""
    times = []
    for path in log_files(checkpoint):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times, default=None)
