"""Outputs that a run directory alone has: whoever removes it loses them."""

from __future__ import annotations

import os
from pathlib import Path

from curator_slurm.launcher.files import read_object
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.paths import AttemptPaths
from curator_slurm.launcher.runs.registry import Run


def only_here(run: Run) -> Path | None:
    """The folder in the run directory with outputs that are nowhere else; None where there are none."""
    root, record = run.paths.root, run.record
    if record is None:
        return None
    done = done_shards(run.paths)
    if record.array:
        collected = read_object(run.paths.collected) or {}
        target = Path(str(collected.get("target") or run.paths.outputs))
        if collected.get("complete") and not target.is_relative_to(root):
            return None
        return (target if target.is_relative_to(root) else run.paths.outputs) if done else None
    if 0 in done:
        target = run.paths.shard_outputs(0)
        return target if target.is_relative_to(root) and _has_files(target) else None
    attempt = finished_attempt(run)
    return attempt.outputs if attempt is not None else None


def finished_attempt(run: Run) -> AttemptPaths | None:
    """The newest attempt whose pipeline came to its end, whose outputs are still staged: they were not published."""
    for attempt in reversed(run.paths.existing_attempts()):
        result = read_object(attempt.result) or {}
        if result.get("state") == "completed" and _has_files(attempt.outputs):
            return attempt
    return None


def _has_files(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(not entry.name.startswith("_") for entry in entries)
    except OSError:
        return False
