"""The plan of another attempt: the run's own, with the settings that were changed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from curator_slurm.launcher import storage_errors
from curator_slurm.launcher.errors import SpecError, SpecProblem, StorageError
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.runs.owners import read_own
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.overrides import parse_override
from curator_slurm.launcher.status.gather import Gathered


def read_plan(run: Run) -> Plan:
    """The plan of a run."""
    try:
        return Plan.from_yaml(read_own(run.paths.plan))
    except (OSError, ValueError) as error:
        raise StorageError(f"the plan of run {run.run_id} cannot be read: {storage_errors.what(error)}") from error


def changed_settings(
    gathered: Gathered, shards: Sequence[int], set_options: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Key -> value of everything that differs from the run's plan: what these shards had last, and what is new."""
    by_number = {submission.record.number: submission.record.changes for submission in gathered.submissions}
    places = gathered.facts.places
    numbers = {places[shard].submission for shard in shards if shard in places}
    last = {number: by_number[number] for number in numbers if number is not None}
    distinct = {tuple(sorted(changes.items())) for changes in last.values()} or {()}
    new = dict(map(_parsed, set_options))
    if len(distinct) == 1:
        return {**dict(distinct.pop()), **new}, []
    return new, [
        "these shards had different settings in their last attempts; they all get those of the run's plan now"
        + (f" and {', '.join(new)}" if new else "; give --set again if they need others")
    ]


def revised_plan(run: Run, changes: Mapping[str, str], environ: Mapping[str, str]) -> tuple[Plan, dict[str, str]]:
    """The plan for another attempt, and the files it needs of its own: none without changes."""
    plan = read_plan(run)
    if not changes:
        return plan, {}
    from curator_slurm.launcher.plan.revise import replan
    from curator_slurm.launcher.plan.script import render

    plan = replan(plan, run.run_id, [f"{key}={value}" for key, value in changes.items()], environ)
    paths = run.paths
    return plan, {paths.plan.name: plan.to_yaml(), paths.script.name: render(plan)}


def other_software(run: Run, plan: Plan, set_options: Sequence[str]) -> list[str]:
    """What to say where these options change the container: what is finished stays as it is."""
    key = "environment.container"
    if not any(
        f"{changed}.".startswith(f"{key}.") or changed == "environment" for changed, _ in map(_parsed, set_options)
    ):
        return []
    before, now = (_software(each) for each in (read_plan(run), plan))
    if before == now:
        return []
    return [
        f"{key}: {now} from now on, {before} before; shards and source partitions that are finished stay as they are"
    ]


def _software(plan: Plan) -> str:
    container = plan.spec.environment.container
    return "no container" if container is None else container.image


def _parsed(option: str) -> tuple[str, str]:
    """Key and value of a --set; the key as the spec spells it."""
    override = parse_override(option)
    if isinstance(override, SpecProblem):
        raise SpecError([override], "--set")
    return dotted(override.path), option.partition("=")[2]
