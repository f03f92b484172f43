"""A plan with some settings changed for another attempt: only those that cannot change the outputs."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from curator_slurm.launcher.errors import SpecProblem
from curator_slurm.launcher.plan import checks, site_rules
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.plan.resolve import resolve
from curator_slurm.launcher.site.layers import load
from curator_slurm.launcher.spec import spec_file
from curator_slurm.launcher.spec.keys import dotted
from curator_slurm.launcher.spec.locks import Lock, changes, refuse
from curator_slurm.launcher.spec.node_sections import BY_NEED
from curator_slurm.launcher.spec.overrides import Override, parse_override
from curator_slurm.launcher.spec.spec_file import Reading
from curator_slurm.launcher.spec.yaml_document import parse

ORIGIN = "retry --set"
CHANGEABLE = (
    "resources",
    "environment",
    "cluster",
    "failures",
    "report",
    "restart",
    "network",
    "notify",
    "executor.config",
    "storage.node_local",
    "shards.max_running",
    "shards.per_element",
)
"""Settings that may change between attempts at one run: how and where it runs, and what happens to failing tasks."""
_ANSWERED = frozenset(f"resources.{key}" for key in BY_NEED)
_REASONS = {
    "name": "it is the name of the run",
    "pipeline": "it determines the outputs",
    "executor": "only executor.config may change",
    "input": "the input files were fixed when the run was submitted",
    "shards": "the shards were fixed when the run was submitted; max_running and per_element may change",
    "output": "all attempts publish to the same place",
    "storage": "the run directory cannot move; node_local may change",
}


def replan(plan: Plan, run_id: str, set_options: Sequence[str], environ: Mapping[str, str]) -> Plan:
    """The plan with these settings instead of its own; `origins` says where each comes from.

    Raises:
        SpecError: a setting is wrong, or may not change between attempts.
        SitePolicyError: a setting is locked, or above a limit, by the site files of the plan or by those of now.
    """
    before = plan.spec.model_dump(mode="json", by_alias=True)
    if plan.spec.resources.groups:
        del before["resources"]["nodes"]  # their sum
    text = yaml.safe_dump(before, sort_keys=False, allow_unicode=True)
    reading = spec_file.read_string(text, f"the plan of run {run_id}", set_options)
    changed = []
    for option in set_options:
        override = parse_override(option)
        if isinstance(override, Override):
            key = dotted(override.path)
            changed.append(key)
            if reason := _refusal(key):
                reading.problems.append(SpecProblem(key, f"`{key}` cannot change in a retry: {reason}", "--set"))
    _check_locks(plan, parse(text).value, reading, environ)
    _say_how_to_leave_out(reading, run_id, set_options, changed)
    new = resolve(reading, Path(plan.spec_dir), plan.cluster, environ, plan.python or sys.executable)
    if new is not None:
        for key, message in checks.problems(new.spec, environ, Path(plan.spec_dir)):
            if key.startswith("environment."):
                reading.add_at(key, message)
    reading.finish()
    assert new is not None
    origins = {
        key: ORIGIN
        if any(_covers(each, key) or _covers(key, each) for each in changed)
        else plan.origins.get(key, origin)
        for key, origin in {**new.origins, **plan.origins}.items()
    }
    of_site = {"site": plan.site, "locks": plan.locks, "placed": plan.placed, "explain": plan.explain}
    of_site["placed_groups"] = _placed_groups(plan, new)
    if "resources.partition" in changed:
        of_site["placed"] = _known(plan, new.spec.resources.partition)
    new = new.model_copy(update={"origins": origins, "templates": plan.templates, **of_site})
    if new.spec.environment.container is not None:
        from curator_slurm.launcher.plan.containers import with_container

        new, wrong = with_container(new, environ)
        for key, message in wrong:
            reading.add_at(key, message)
        reading.finish()
    if new.site is not None and new.cluster is Cluster.SLURM:
        refuse(site_rules.refused(new, new.at_site()))
    return new


def _known(plan: Plan, partition: str | None) -> list[str]:
    """Partitions of the site files among those that are asked for."""
    known: Mapping[str, Any] = (plan.site or {}).get("partitions") or {}
    return [name for name in (partition or "").split(",") if name in known]


def _placed_groups(plan: Plan, new: Plan) -> dict[str, list[str]]:
    """Where each group goes: where it went, unless it asks for another partition now."""
    asked = [
        {group.name: part.partition for group, part in zip(each.groups, each.parts, strict=False)}
        for each in (plan.spec.resources, new.spec.resources)
    ]
    placed = {
        name: plan.placed_groups.get(name, []) if asked[0].get(name, "") == wanted else _known(plan, wanted)
        for name, wanted in asked[1].items()
    }
    return {name: places for name, places in placed.items() if places}


def _check_locks(plan: Plan, before: Any, reading: Reading, environ: Mapping[str, str]) -> None:
    """Refuse a change of what was locked when the run was submitted, or is now."""
    locks = {note.key: Lock(note.key, note.where, note.contact) for note in plan.locks}
    locks.update((lock.key, lock) for lock in load(Path(plan.spec_dir), environ).locks)
    refuse(list(changes(before, reading.document.value, list(locks.values()), reading.where)))


_SBATCH = "resources.sbatch."


def _say_how_to_leave_out(reading: Reading, run_id: str, set_options: Sequence[str], changed: Sequence[str]) -> None:
    """Where the plan has options of sbatch that this version refuses: the command that retries without them."""
    wrong = [each for each in reading.problems if each.key.startswith(_SBATCH) and each.key not in changed]
    settings = [*set_options, *(f"{problem.key}=null" for problem in wrong)]
    command = shlex.join(["curator-slurm", "retry", run_id, *(part for each in settings for part in ("--set", each))])
    for problem in wrong:
        problem.message += f"; the plan of the run has it. To retry without it: {command}"


def _refusal(key: str) -> str:
    """Why this key may not change; empty if it may, and for unknown keys."""
    if key in _ANSWERED:
        return "it was turned into nodes and what each of them has; change those: resources.nodes, gpus_per_node, ..."
    if any(_covers(allowed, key) for allowed in CHANGEABLE):
        return ""
    return _REASONS.get(key.partition(".")[0], "")


def _covers(section: str, key: str) -> bool:
    return key == section or key.startswith(f"{section}.")
