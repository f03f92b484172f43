"""Collecting a run: waiting for its end if that is asked for, then publishing its outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from curator_slurm.common.in_words import several
from curator_slurm.launcher.dataset.assemble import Collected, collect_run
from curator_slurm.launcher.dataset.verify import Progress
from curator_slurm.launcher.errors import RunIncompleteError, StorageError, UsageError
from curator_slurm.launcher.files import read_object
from curator_slurm.launcher.operations.publish_elsewhere import publish_elsewhere
from curator_slurm.launcher.operations.revised_plan import read_plan
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs import owners
from curator_slurm.launcher.runs.done_records import done_shards, read_done
from curator_slurm.launcher.runs.registry import Run, load_run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.gather import status_of
from curator_slurm.launcher.status.run_decision import RunStatus

FINISH_S = 150.0
"""How long the collect job waits for what shared storage does not show yet; caches live for a minute."""
_SHORT_S, _LONG_S = 10.0, 24 * 3600.0
"""How long to wait for another `collect` of the run, without --wait and with it."""
_FAST_S = 2.0
_SLOW_S = 20.0


def collect(
    run: Run,
    progress: Progress,
    *,
    partial: bool = False,
    merges: bool = True,
    to: Path | None = None,
    wait_s: float | None = 0.0,
    waiting: Callable[[RunStatus], None] = lambda _: None,
) -> Collected:
    """Publish the outputs of a run, merged if its plan says so and `merges` is left as it is.

    They go to `to` in place of the plan's `output.path`, where that is given now or was by an earlier call.
    `wait_s` is how long to wait for its end, None for as long as it takes.

    Raises:
        RunIncompleteError: shards are not done, and `partial` is not asked for.
        StorageError: the outputs cannot be published.
        ForeignRunError: it is somebody else's.
    """
    if run.record is None:
        raise StorageError(f"run {run.run_id} cannot be collected: {run.problem}")
    owners.check_own(run.paths, "collect")
    if not run.record.array:
        return _published_already(run if to is None else publish_elsewhere(run, to))
    plan = _with_target(read_plan(run), _target(run, to))
    _wait(run, run.record.shards, wait_s, waiting, partial=partial)
    patience_s = _SHORT_S if wait_s == 0.0 else _LONG_S
    return collect_run(run, plan, progress, partial=partial, merges=merges, patience_s=patience_s)


def _target(run: Run, to: Path | None) -> str | None:
    """Where the dataset goes if not to the plan's folder: it stays where an earlier call has begun it.

    Raises:
        UsageError: that is another folder than `to`.
    """
    earlier = (read_object(run.paths.collected) or {}).get("target")
    if to is not None and isinstance(earlier, str) and Path(earlier) not in (to, run.paths.outputs, run.paths.merged):
        raise UsageError(f"run {run.run_id} is published to {earlier} already, at least in part; move it from there")
    if to is not None:
        return str(to)
    moved = isinstance(earlier, str) and not Path(earlier).is_relative_to(run.paths.root)
    return str(earlier) if moved else None


def _with_target(plan: Plan, target: str | None) -> Plan:
    if target is None:
        return plan
    output = plan.spec.output.model_copy(update={"path": target})
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"output": output})})


def _published_already(run: Run) -> Collected:
    """What is to be said of a run without an array, which publishes its outputs by itself.

    Raises:
        RunIncompleteError: it has not.
    """
    if 0 not in done_shards(run.paths):
        raise RunIncompleteError(
            f"run {run.run_id} publishes its outputs itself when it succeeds, which it has not yet; "
            f"`curator-slurm status {run.run_id}` shows its state"
        )
    try:
        record = read_done(run.paths, 0)
    except ValueError as error:
        raise StorageError(f"{run.paths.done(0)} is damaged: {error}") from error
    files = record.files if record else ()
    target = run.paths.shard_outputs(0)
    note = f"The outputs of run {run.run_id} are published already: {target}"
    if not files:
        note = f"Run {run.run_id} is completed; its pipeline wrote nothing to ${{output_dir}}: nothing was kept."
    summary = {
        "complete": True,
        "shards": {"total": 1, "published": 1, "missing": ""},
        "files": len(files),
        "rows": record.rows if record else None,
        "bytes": record.bytes if record else 0,
        "tasks_failed": record.tasks_failed if record else 0,
        "rows_failed": record.rows_failed if record else 0,
        "failures": None,
    }
    return Collected(target, summary, note=note)


def _wait(run: Run, total: int, wait_s: float | None, waiting: Callable[[RunStatus], None], *, partial: bool) -> None:
    """Wait until every shard is done, or nothing more will happen."""
    began = time.monotonic()
    while len(done_shards(run.paths)) < total:
        run = load_run(run.paths.root)
        decision = status_of(run, shares=True)
        if decision.state.is_final and status_of(run).state.is_final:  # confirmed: the first may be another's answer
            return
        waited = time.monotonic() - began
        if wait_s is not None and waited >= wait_s:
            if partial:
                return
            raise RunIncompleteError(_under_way(run, decision))
        waiting(decision)
        time.sleep(_FAST_S if waited < 60 else _SLOW_S)


def _under_way(run: Run, decision: RunStatus) -> str:
    what = "cannot be asked for in Slurm" if decision.state is RunState.UNKNOWN else f"is still {decision.state}"
    return (
        f"run {run.run_id} {what}: {decision.done:,} of {several(decision.total, 'shard')} are done.\n"
        "Nothing was published; --wait waits for its end, --partial publishes what there is."
    )
