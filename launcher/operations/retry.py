"""Submitting a run again: what is left of a sharded one, or the whole of one without shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, UsageError
from curator_slurm.launcher.operations.launch import LOCK, Order, launch
from curator_slurm.launcher.operations.retry_shards import (
    Retry,
    Wish,
    new_plan,
    parsed,
    preview_shards,
    retry_shards,
    write_secrets,
)
from curator_slurm.launcher.operations.select_shards import Choice
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import read_submissions
from curator_slurm.launcher.sharding.arrays import Window
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import observe
from curator_slurm.launcher.status.reconcile import reconcile


def retry(run: Run, wish: Wish, environ: Mapping[str, str]) -> Retry:
    """Submit what can be tried again.

    Raises:
        SlurmError: Slurm cannot be asked what is still under way, or accepts nothing.
        SpecError: a changed setting is wrong, or may not change.
        UsageError: a named shard does not exist.
    """
    _check(run)
    if run.record is not None and run.record.array:
        return retry_shards(run, wish, environ)
    with RunLock(run.paths.lock(LOCK), "retry") as lock:
        run, _ = reconcile(registry.load_run(run.paths.root))
        found = _prepare(run, wish, environ)
        if not found.choice.shards:
            return found
        assert found.plan is not None
        write_secrets(run, found.plan, environ)
        run = registry.mark_cancelled(run, None)
        order = Order(
            arrays=[Window((Element(0, (0,)),))],
            purpose="retry",
            plan=found.plan,
            files=found.files,
            changes=found.changes,
        )
        launched = launch(run, order, lock)
    if launched.error is not None:
        raise launched.error
    return replace(found, run=launched.run, launched=launched)


def preview(run: Run, wish: Wish, environ: Mapping[str, str]) -> Retry:
    """What `retry` would do, without doing it."""
    _check(run)
    array = run.record is not None and run.record.array
    return preview_shards(run, wish, environ) if array else _prepare(run, wish, environ)


def _check(run: Run) -> None:
    if run.record is None:
        raise CuratorSlurmError(f"run {run.run_id} cannot be submitted again: {run.problem}")


def _prepare(run: Run, wish: Wish, environ: Mapping[str, str]) -> Retry:
    """What to do about a run without shards."""
    if wish.selection.shards is not None:
        raise UsageError(f"run {run.run_id} has no shards; it is submitted again as a whole, without --shard")
    _, decision = observe(run, being_submitted=False)
    new = dict(map(parsed, wish.set_options))
    if decision.state is RunState.UNKNOWN:
        raise SlurmError(f"{decision.message} Without Slurm's answer nobody knows whether it is still under way.")
    nothing = ""
    if not decision.state.is_final:
        nothing = f"run {run.run_id} is still {decision.state}."
    elif decision.state is RunState.COMPLETED:
        nothing = f"run {run.run_id} is completed."
    elif wish.selection.classes and decision.failure_class not in wish.selection.classes:
        nothing = f"run {run.run_id} failed with {decision.failure_class}."
    if nothing:
        return Retry(run, Choice([]), {}, nothing=nothing)
    earlier = [submission.record.changes for submission in read_submissions(run.paths)]
    changes = {**(earlier[-1] if earlier else {}), **new}
    plan, files = new_plan(run, changes, environ)
    why = str(decision.failure_class or decision.state)
    return Retry(run, Choice([0], {why: 1}), changes, plan=plan, files=files)
