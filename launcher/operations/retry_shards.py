"""Submitting again what is neither done nor active, with the same settings or changed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from curator_slurm.launcher.errors import CuratorSlurmError, SlurmError, SpecError, SpecProblem
from curator_slurm.launcher.operations.collect_job import submit_collect_job
from curator_slurm.launcher.operations.launch import LOCK, Launched, Order, launch
from curator_slurm.launcher.operations.select_shards import Choice, Selection, choose
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs import registry
from curator_slurm.launcher.runs.lock import RunLock
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.secrets import collect_secrets
from curator_slurm.launcher.runs.submissions import Submission
from curator_slurm.launcher.sharding.array_limits import taken
from curator_slurm.launcher.sharding.arrays import Window
from curator_slurm.launcher.sharding.plan_arrays import arrays_for
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.overrides import parse_override
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer, ask
from curator_slurm.launcher.status.gather import Gathered, collect_facts
from curator_slurm.launcher.status.reconcile import reconcile
from curator_slurm.launcher.status.run_decision import RunStatus


@dataclass(frozen=True)
class Wish:
    """What the user asked for."""

    selection: Selection = field(default_factory=Selection)
    set_options: Sequence[str] = ()


@dataclass(frozen=True)
class Retry:
    """What a retry did, or would do: the shards, their windows, and the plan they get."""

    run: Run
    choice: Choice
    changes: Mapping[str, str]
    windows: Sequence[Window] = ()
    after: Sequence[str] = ()
    warnings: Sequence[str] = ()
    plan: Plan | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    launched: Launched | None = None
    nothing: str = ""
    """Why there is nothing to submit."""


def retry_shards(run: Run, wish: Wish, environ: Mapping[str, str]) -> Retry:
    """Submit what can be tried again; nothing is written where there is nothing to do.

    Raises:
        SlurmError: Slurm cannot be asked what is still under way, or accepts nothing.
        SpecError: a changed setting is wrong, or may not change.
        UsageError: a named shard does not exist.
    """
    with RunLock(run.paths.lock(LOCK), "retry") as lock:
        run, submissions = reconcile(registry.load_run(run.paths.root))
        _, answer = ask(run, submissions)
        found = _prepare(run, submissions, answer, wish, environ)
        if not found.choice.shards:
            return found
        assert found.plan is not None
        write_secrets(run, found.plan, environ)
        run = registry.mark_cancelled(run, None)
        order = Order(
            arrays=found.windows,
            purpose="retry",
            plan=found.plan,
            files=found.files,
            changes=found.changes,
            after=found.after,
        )
        launched = launch(run, order, lock)
    if launched.error is not None and not launched.accepted:
        raise launched.error
    active = taken(submissions, answer.tasks)
    problem = submit_collect_job(launched.run, found.plan, [*active, *launched.job_ids])
    warnings = [*found.warnings, problem] if problem else found.warnings
    return replace(found, run=launched.run, launched=launched, warnings=warnings)


def preview_shards(run: Run, wish: Wish, environ: Mapping[str, str]) -> Retry:
    """What `retry_shards` would do, without doing it."""
    submissions, answer = ask(run)
    return _prepare(run, submissions, answer, wish, environ)


def _prepare(
    run: Run, submissions: Sequence[Submission], answer: SlurmAnswer, wish: Wish, environ: Mapping[str, str]
) -> Retry:
    if answer.error:
        raise SlurmError(f"{answer.error}\nWithout Slurm's answer nobody knows what is still under way.")
    gathered = collect_facts(run, submissions, answer, being_submitted=False)
    decision = gathered.decide()
    choice = choose(decision, wish.selection)
    if not choice.shards:
        return Retry(run, choice, {}, nothing=_nothing(decision, wish))
    changes, warnings = _changes(gathered, choice.shards, wish.set_options)
    plan, files = new_plan(run, changes, environ)
    windows, after = _windows(plan, choice.shards, submissions, answer)
    return Retry(run, choice, changes, windows, after, warnings, plan, files)


def _nothing(decision: RunStatus, wish: Wish) -> str:
    if not decision.open:
        return f"all {decision.total:,} shards are done."
    if wish.selection.shards is not None or wish.selection.classes:
        return "no shard that was asked for is to be tried again."
    return f"{len(decision.open):,} shards are still under way."


def _changes(gathered: Gathered, shards: Sequence[int], set_options: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Key -> value of everything that differs from the run's plan: what these shards had last, and what is new."""
    by_number = {submission.record.number: submission.record.changes for submission in gathered.submissions}
    places = gathered.facts.places
    last = {number: by_number[number] for shard in shards if shard in places for number in [places[shard].submission]}
    distinct = {tuple(sorted(changes.items())) for changes in last.values()} or {()}
    new = dict(map(parsed, set_options))
    if len(distinct) == 1:
        return {**dict(distinct.pop()), **new}, []
    return new, [
        "these shards had different settings in their last attempts; they all get those of the run's plan now"
        + (f" and {', '.join(new)}" if new else "; give --set again if they need others")
    ]


def parsed(option: str) -> tuple[str, str]:
    """Key and value of a --set; the key as the spec spells it."""
    override = parse_override(option)
    if isinstance(override, SpecProblem):
        raise SpecError([override], "--set")
    return dotted(override.path), option.partition("=")[2]


def new_plan(run: Run, changes: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    """The plan for another attempt, and the files it needs of its own: none without changes."""
    plan = read_plan(run)
    if not changes:
        return plan, {}
    from curator_slurm.launcher.plan.revise import replan
    from curator_slurm.launcher.plan.script import render

    plan = replan(plan, run.run_id, [f"{key}={value}" for key, value in changes.items()], environ)
    paths = run.paths
    return plan, {paths.plan.name: plan.to_yaml(), paths.script.name: render(plan)}


def read_plan(run: Run) -> Plan:
    """The plan of a run."""
    try:
        return Plan.from_yaml(run.paths.plan.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CuratorSlurmError(f"the plan of run {run.run_id} cannot be read: {error}") from error


def _windows(
    plan: Plan, shards: Sequence[int], submissions: Sequence[Submission], answer: SlurmAnswer
) -> tuple[list[Window], list[str]]:
    """The arrays, and the jobs that they wait for: `max_running` counts what is still under way."""
    limit = plan.spec.shards.max_running if plan.spec.shards else None
    busy = taken(submissions, answer.tasks)
    if limit is None or not busy:
        return arrays_for(plan, shards, Slurm()), []
    free = limit - sum(busy.values())
    if free > 0:
        return arrays_for(plan, shards, Slurm(), free), []
    return arrays_for(plan, shards, Slurm()), sorted(busy, key=int)


def write_secrets(run: Run, plan: Plan, environ: Mapping[str, str]) -> None:
    """Collect the secrets again: they are deleted when a run has ended."""
    values = collect_secrets(plan.spec.environment.secrets, environ, f"the plan of run {run.run_id}")
    registry.write_secrets(run.paths, values)
