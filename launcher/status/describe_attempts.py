"""What is shown of all attempts of a run: `status --attempts`, and the estimated end over restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from curator_slurm.launcher.runs.node_faults import bad_nodes, faults_folder, have_failed, read_faults
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.states import RunState
from curator_slurm.launcher.status.attempt_history import all_attempts, attempts_of, usage_of
from curator_slurm.launcher.status.gather import Gathered
from curator_slurm.launcher.status.run_decision import RunStatus
from curator_slurm.launcher.status.time_left import over_restarts
from curator_slurm.launcher.status.views import AttemptsView, AttemptView, BadNodeView


def eta_of(status: RunStatus, gathered: Gathered | None, attempts: Sequence[AttemptView]) -> float | None:
    """Seconds to the end of a run: of its slowest stage, and over restarts if its time limit comes before."""
    if status.only is None or gathered is None or status.state is not RunState.RUNNING:
        return status.eta_s
    element = gathered.facts.element_of(0)
    needed = max((stage.eta_s for stage in status.stages if stage.eta_s is not None), default=None)
    ends_by = element.ends_by if element is not None else None
    return over_restarts(needed, ends_by, gathered.facts.now, attempts)


def describe_attempts(run: Run, status: RunStatus, gathered: Gathered | None, shard: int | None) -> AttemptsView:
    """All attempts at all shards of a run, or at one."""
    now = gathered.facts.now if gathered else 0.0
    known = {each.shard: each for each in (*status.open, *status.details.values())}
    if shard is None and status.total > 1:
        attempts = tuple(all_attempts(run, known, now))
    else:
        attempts = attempts_of(run, shard or 0, known.get(shard or 0), now)
    usage = usage_of(attempts, status.restarts if shard is None else max(len(attempts) - 1, 0))
    return AttemptsView(run_id=run.run_id, name=run.name, usage=usage, attempts=attempts)


def bad_nodes_of(run: Run) -> tuple[BadNodeView, ...]:
    """The nodes that failed under this run lately, the worst first."""
    if not have_failed(run.paths):
        return ()
    faults = read_faults([faults_folder(run.paths)])
    ours = {fault.node for fault in faults if fault.run_id == run.run_id}
    return tuple(BadNodeView(**asdict(bad)) for bad in bad_nodes(faults) if bad.node in ours)
