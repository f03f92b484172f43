"""Submitting a sharded run: shards into windows, windows into arrays, and a word on what was not accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, StorageError
from curator_slurm.launcher.operations.collect_job import submit_finishing
from curator_slurm.launcher.operations.launch import Launched, Order, explain_first, launch
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import NewRun, Run
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.sharding.array_limits import largest_array
from curator_slurm.launcher.sharding.arrays import Window, cut
from curator_slurm.launcher.slurm.client import Slurm

LOCK = "submissions"


@dataclass(frozen=True)
class Sharding:
    """The settings of `shards` that matter once the shards are planned."""

    per_element: int = 1
    max_running: int | None = None


def sharding(plan: Plan) -> Sharding:
    """How the shards of a plan go into arrays."""
    spec = plan.spec.shards
    return Sharding() if spec is None else Sharding(spec.per_element, spec.max_running)


def windows_for(plan: Plan, shards: Sequence[int], slurm: Slurm, max_running: int | None = None) -> list[Window]:
    """The arrays for these shards; Slurm is asked once for the size that they may have."""
    settings = sharding(plan)
    if plan.cluster is Cluster.LOCAL:
        return cut(shards, max(len(shards), 1), 1)
    limit = settings.max_running if max_running is None else max_running
    return cut(shards, settings.per_element, largest_array(slurm), limit)


def submit_shards(folder: Path, new: NewRun, plan: Plan) -> Launched:
    """Make the run directory and submit its windows.

    Nothing is left of a run of which no window was accepted. Where some were, the result has the error and the run
    stays: `retry` submits the rest.
    """
    assert new.shards is not None
    windows = windows_for(plan, range(new.shards), Slurm())
    run = registry.create_run(folder, new)
    try:
        with RunLock(run.paths.lock(LOCK), "submit") as lock:
            launched = launch(run, Order(windows=windows, purpose="submit", plan=plan), lock)
    except StorageError:
        _remove_unless_submitted(run)
        raise
    if launched.error is not None and not launched.accepted and not _may_have_worked(launched.error):
        registry.remove_run(run)
        raise explain_first(launched.error, windows) if isinstance(launched.error, SlurmError) else launched.error
    if problem := submit_finishing(launched.run, plan, launched.job_ids):
        launched.notes.append(problem)
    return launched


def _remove_unless_submitted(run: Run) -> None:
    """Remove a run of which no job can exist."""
    try:
        submissions = read_submissions(run.paths)
    except StorageError:
        return
    if not submissions:
        registry.remove_run(run)


def _may_have_worked(error: CuratorSlurmError) -> bool:
    return isinstance(error, SlurmError) and error.may_have_worked
