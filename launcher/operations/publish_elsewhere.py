"""Publishing what a finished run could not: its outputs are complete in the run directory, and go to another folder."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from curator_slurm.launcher.errors import RunIncompleteError, StorageError, UsageError
from curator_slurm.launcher.files import is_filled, read_jsonl
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.lock import SUBMISSIONS_LOCK, RunLock
from curator_slurm.launcher.runs.manifest import read_shard
from curator_slurm.launcher.runs.paths import AttemptPaths, RunPaths
from curator_slurm.launcher.runs.publish import Publisher
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import count_failed
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.unpublished import finished_attempt


def publish_elsewhere(run: Run, target: Path) -> Run:
    """Publish the finished outputs of a run without shards to `target`, which becomes its `output.path`.

    Raises:
        RunIncompleteError: it is not over, or nothing of it is finished.
        UsageError: it has published its outputs already, or `target` is taken.
        StorageError: they cannot be written there; they stay where they are.
    """
    with RunLock(run.paths.lock(SUBMISSIONS_LOCK), "collect"):
        attempt = _finished(run)
        if is_filled(target):
            raise UsageError(f"--to: {target} exists already and is not empty; give a folder that is not there yet")
        paths = RunPaths(run.paths.root, target)
        checksums = read_plan(run).spec.output.checksums
        failed = count_failed(read_jsonl(attempt.failures, limit=sys.maxsize))
        moved = registry.move_outputs(run, str(target))
        try:
            Publisher(run=paths, checksums=checksums).publish(
                AttemptPaths(attempt.root, paths), read_shard(paths.manifest, 0), _started(run), failed
            )
        except StorageError:
            registry.move_outputs(moved, run.record.output_path if run.record else "")
            raise
        return moved


def _finished(run: Run) -> AttemptPaths:
    if 0 in done_shards(run.paths):
        where = run.paths.shard_outputs(0)
        raise UsageError(f"run {run.run_id} has published its outputs already, to {where}; move them from there")
    status = observe(run, being_submitted=False)[1]
    if not status.state.is_final:
        raise RunIncompleteError(f"run {run.run_id} is {status.state}; --to publishes what is finished, after its end")
    attempt = finished_attempt(run)
    if attempt is None:
        raise RunIncompleteError(
            f"run {run.run_id} has no finished outputs: no attempt at it has come to the end of its pipeline.\n"
            f"`curator-slurm retry {run.run_id}` tries again"
        )
    return attempt


def _started(run: Run) -> float:
    return run.record.created if run.record else time.time()
