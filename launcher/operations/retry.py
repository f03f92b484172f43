"""Submitting again what is neither done nor active, with the same settings or changed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from curator_slurm.common.in_words import all_of, are, several
from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SlurmError, StorageError, UsageError
from curator_slurm.launcher.notify.webhook_address import address_for
from curator_slurm.launcher.operations.collect_job import collects_itself, has_collect_job, submit_collect_job
from curator_slurm.launcher.operations.launch import Launched, Order, launch
from curator_slurm.launcher.operations.queue_limit import fitting
from curator_slurm.launcher.operations.revised_plan import changed_settings, other_software, revised_plan
from curator_slurm.launcher.operations.select_shards import Choice, Selection, choose
from curator_slurm.launcher.operations.sweep import sweep_secrets
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.modules import code_of
from curator_slurm.launcher.runs import owners, registry
from curator_slurm.launcher.runs.lock import SUBMISSIONS_LOCK, RunLock
from curator_slurm.launcher.runs.manifest import revise
from curator_slurm.launcher.runs.purge import purge_warning
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.secrets import collect_secrets, write_secrets
from curator_slurm.launcher.runs.shard_records import Shard
from curator_slurm.launcher.runs.submissions import Submission
from curator_slurm.launcher.runs.travelling_package import give_package
from curator_slurm.launcher.runs.user_code import newest_code
from curator_slurm.launcher.sharding.array_limits import taken
from curator_slurm.launcher.sharding.arrays import JobArray
from curator_slurm.launcher.sharding.plan_arrays import arrays_for
from curator_slurm.launcher.sharding.revise_input import InputRevision, revised, unaccepted
from curator_slurm.launcher.slurm.client import Slurm
from curator_slurm.launcher.spec import exposed_secrets
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.status.ask_slurm import SlurmAnswer, ask
from curator_slurm.launcher.status.gather import collect_facts
from curator_slurm.launcher.status.reconcile import reconcile
from curator_slurm.launcher.status.run_decision import RunStatus


@dataclass(frozen=True)
class RetryRequest:
    """What the user asked for."""

    selection: Selection = field(default_factory=Selection)
    set_options: Sequence[str] = ()
    revision: InputRevision = field(default_factory=InputRevision)
    update_code: bool = False
    """Take the modules beside the spec again, as they are now."""
    feeding: bool = False
    """Only what there is room for; that there is none is no error, and one collect job in the queue is enough."""


@dataclass(frozen=True)
class Retry:
    """What a retry did, or would do: the shards, their arrays (or the one job), and the plan they get."""

    run: Run
    choice: Choice
    changes: Mapping[str, str]
    arrays: Sequence[JobArray] = ()
    after: Sequence[str] = ()
    warnings: Sequence[str] = ()
    plan: Plan | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    revised: Sequence[Shard] = ()
    """Shards that get other input files than planned."""
    launched: Launched | None = None
    nothing: str = ""
    """Why there is nothing to submit."""


def retry(run: Run, request: RetryRequest, environ: Mapping[str, str]) -> Retry:
    """Submit what can be tried again; nothing is written where there is nothing to do.

    Raises:
        SlurmError: Slurm cannot be asked what is still running, or accepts nothing.
        SpecError: a changed setting is wrong, or may not change.
        UsageError: a named shard does not exist.
        ForeignRunError: it is somebody else's.
    """
    _check(run, request)
    with RunLock(run.paths.lock(SUBMISSIONS_LOCK), "retry") as lock:
        run, known = reconcile(registry.load_run(run.paths.root))
        if request.feeding and run.record is not None and run.record.cancelled is not None:
            return Retry(run, Choice(()), {}, nothing="the run was cancelled.")
        submissions, answer = ask(run, known)
        found = _prepare(run, submissions, answer, request, environ)
        if not found.choice.shards:
            return found
        assert found.plan is not None
        collects = collects_itself(found.plan) and not (request.feeding and has_collect_job(run.paths, Slurm()))
        room = fitting(found.plan, found.arrays, Slurm(), collects=collects)
        if request.feeding and not room.arrays:
            return replace(found, run=run, nothing=f"{room.words}.")
        room.or_refuse()
        write_secrets(run.paths, _secrets(run, found.plan, environ))
        if found.plan.containers:
            _give_package(run)
        run = registry.mark_cancelled(run, None)
        for shard in found.revised:
            revise(run.paths.manifest, shard)
        order = Order(
            arrays=room.arrays,
            purpose="retry",
            plan=found.plan,
            files=found.files,
            changes=found.changes,
            after=found.after,
            code=code_of(found.plan) if request.update_code else None,
        )
        launched = launch(run, order, lock)
    if launched.error is not None and not launched.accepted:
        raise launched.error
    active = taken(submissions, answer.tasks)
    problem = submit_collect_job(launched.run, found.plan, [*active, *launched.job_ids]) if room.collects else ""
    sweep_secrets(run.paths.root.parent.parent, but=run.paths.root)
    warnings = [*found.warnings, *launched.notes, *room.note(run.run_id), *filter(None, [problem])]
    return replace(found, run=launched.run, launched=launched, warnings=warnings)


def preview(run: Run, request: RetryRequest, environ: Mapping[str, str]) -> Retry:
    """What `retry` would do, without doing it."""
    _check(run, request)
    submissions, answer = ask(run)
    return _prepare(run, submissions, answer, request, environ)


def _check(run: Run, request: RetryRequest) -> None:
    if run.record is None:
        raise StorageError(f"run {run.run_id} cannot be submitted again: {run.problem}")
    owners.check_own(run.paths, "retry")
    if request.selection.shards is not None and not run.record.array:
        raise UsageError(f"run {run.run_id} has no `shards`; it is submitted again as a whole, without --shard")


def _prepare(
    run: Run, submissions: Sequence[Submission], answer: SlurmAnswer, request: RetryRequest, environ: Mapping[str, str]
) -> Retry:
    if answer.error:
        raise SlurmError(f"{answer.error}\nWithout Slurm's answer it cannot tell what is still running.")
    gathered = collect_facts(run, submissions, answer, being_submitted=False)
    status = gathered.decide()
    choice = choose(status, request.selection)
    if not choice.shards:
        return Retry(run, choice, {}, nothing=_nothing(run, status, request))
    changes, warnings = changed_settings(gathered, choice.shards, request.set_options)
    plan, files = revised_plan(run, changes, environ)
    exposed = [f"--set: {message}" for path, message in exposed_secrets.warnings(plan.spec) if dotted(path) in changes]
    purge = purge_warning(run, sorted(gathered.facts.done), gathered.facts.now)
    warnings = [
        *warnings,
        *other_software(run, plan, request.set_options),
        *exposed,
        *([] if request.update_code else _old_code(run)),
        *filter(None, [purge]),
        *unaccepted(run.paths, choice.shards, request.revision),
    ]
    arrays, after = _arrays(plan, choice.shards, submissions, answer)
    other_files = revised(run.paths, choice.shards, request.revision)
    return Retry(run, choice, changes, arrays, after, warnings, plan, files, other_files)


def _old_code(run: Run) -> list[str]:
    """That the code which the run has is not that which lies beside the spec now."""
    code = newest_code(run.paths)
    changed = code[1].changed() if code else []
    if not changed:
        return []
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return [
        f"{', '.join(changed[:3])}{more} changed since; the code runs as it was submitted. "
        "`retry --update-code` takes it as it is now"
    ]


def _nothing(run: Run, status: RunStatus, request: RetryRequest) -> str:
    """Why nothing is to be submitted."""
    assert run.record is not None
    array = run.record.array
    if not status.open:
        return (
            f"{all_of(status.total, 'shard')} {are(status.total)} done." if array else f"run {run.run_id} is completed."
        )
    if not array:
        (shard,) = status.open
        if not shard.state.is_active:
            return f"run {run.run_id} failed with {shard.failure_class}."
        return f"run {run.run_id} is still {status.state}."
    if request.selection.unsubmitted:
        return "every shard was submitted."
    if request.selection.shards is not None or request.selection.classes:
        return "no shard that was asked for is to be submitted again."
    left = len(status.open)
    return f"{several(left, 'shard')} {are(left)} still pending or running."


def _arrays(
    plan: Plan, shards: Sequence[int], submissions: Sequence[Submission], answer: SlurmAnswer
) -> tuple[list[JobArray], list[str]]:
    """The arrays, and the jobs that they wait for: `max_running` counts what is still active."""
    limit = plan.spec.shards.max_running if plan.spec.shards else None
    busy = taken(submissions, answer.tasks)
    if limit is None or not busy:
        return arrays_for(plan, shards, Slurm()), []
    free = limit - sum(busy.values())
    if free > 0:
        return arrays_for(plan, shards, Slurm(), free), []
    return arrays_for(plan, shards, Slurm()), sorted(busy, key=int)


def _give_package(run: Run) -> None:
    """Where the run has none: it began without a container, or the site has deleted what was not used."""
    try:
        give_package(run.paths)
    except OSError as error:
        words = f"cannot give run {run.run_id} its package: {storage_errors.what(error)}"
        raise StorageError(words) from error


def _secrets(run: Run, plan: Plan, environ: Mapping[str, str]) -> Mapping[str, str]:
    """Collected again: they are deleted when a run has ended."""
    source = f"the plan of run {run.run_id}"
    named = collect_secrets(plan.spec.environment.secrets, environ, source)
    return {**named, **address_for(plan.spec.notify, environ, source, run.paths)}
