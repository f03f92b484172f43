"""Two runs must not publish to one folder: the second would find it full, after all its work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curator_slurm.launcher.errors import UsageError
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.runs.run_folders import run_directories
from curator_slurm.launcher.status.gather import statuses_of
from curator_slurm.launcher.status.unpublished import only_here

LOOKED_AT = 200
"""The newest runs that are looked at."""


def refuse_output_in_use(output_path: str, folders: Sequence[Path]) -> list[str]:
    """Look for runs in these folders that publish to the same folder, or one inside of the other; notes on old ones.

    Raises:
        UsageError: one of them is pending or running.
    """
    target = Path(output_path)
    runs = [run for path in run_directories(folders)[:LOOKED_AT] if _overlaps(run := load_run(path), target)]
    notes = []
    for run, status in zip(runs, statuses_of(runs), strict=True):
        assert run.record is not None
        if status.state.is_active:
            raise UsageError(
                f"nothing was submitted: run {run.run_id} ({run.name}) is {status.state} and publishes to "
                f"{run.record.output_path}, too.\nGive another output.path, or wait for its end (curator-slurm watch "
                f"{run.run_id}), or end it (curator-slurm cancel {run.run_id})"
            )
        if run.record.array and only_here(run) is not None:
            notes.append(
                f"run {run.run_id} ({run.name}) has outputs for {run.record.output_path} that are not collected: once "
                f"this run has published its own there, they need another place (curator-slurm collect {run.run_id} "
                "--to DIR)"
            )
    return notes


def claimed_outputs(plan: Plan, folders: Sequence[Path]) -> set[Path]:
    """Folders beside the output of a plan that runs in these folders are going to fill.

    One whose submission was interrupted claims nothing: to submit its spec again must give the same plan.
    """
    beside = Path(plan.spec.output.path or "").parent
    runs = [load_run(path) for path in run_directories(folders)[:LOOKED_AT]]
    runs = [run for run in runs if run.record and run.record.job_ids and Path(run.record.output_path).parent == beside]
    pairs = zip(runs, statuses_of(runs), strict=True)
    return {
        Path(run.record.output_path)
        for run, status in pairs
        if run.record and (status.state.is_active or (run.record.array and only_here(run) is not None))
    }


def _overlaps(run: Run, target: Path) -> bool:
    if run.record is None or not run.record.output_path:
        return False
    other = Path(run.record.output_path)
    return other.is_relative_to(target) or target.is_relative_to(other)
