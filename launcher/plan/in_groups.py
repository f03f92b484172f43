"""A plan whose groups of nodes have been put into partitions, each by itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curator_slurm.launcher.plan.model import JobPart, Plan
from curator_slurm.launcher.spec.slurm_time import seconds

if TYPE_CHECKING:
    from curator_slurm.launcher.site.resolution import Resolution

_SETTING = re.compile(r"\bresources\.(?!time\b)")


def in_groups(plan: Plan, found: Sequence[Resolution | None], nodes: int) -> Plan:
    """The plan with what each group asks for; the run has the shortest of their time limits."""
    resources, origins = plan.spec.resources, dict(plan.origins)
    groups, placed, explain, times = [], {}, [], []
    for group, part, where in zip(resources.groups, plan.parts(), found, strict=True):
        if where is None:
            groups.append(group)
            continue
        values: dict[str, Any] = {key: value for key, value in where.values.items() if key != "time"}
        groups.append(group.model_copy(update=values))
        placed[group.name] = list(where.partitions)
        explain += [f"group {group.name}: {of_part(part, line)}" for line in where.explain]
        if (time := where.values.get("time")) is not None:
            times.append(time)
        for key, causes in where.because.items():
            name = key.removeprefix("resources.")
            if name in where.values or name.startswith("sbatch."):
                origins[part.key(key)] = ", ".join(origin_of(plan, part.key(cause)) for cause in causes) or "default"
    update: dict[str, Any] = {"groups": groups, "nodes": nodes}
    if resources.time is None and times:
        update["time"] = min(times, key=lambda time: seconds(time) or float("inf"))
    spec = plan.spec.model_copy(update={"resources": resources.model_copy(update=update)})
    return plan.model_copy(update={"spec": spec, "placed_groups": placed, "explain": explain, "origins": origins})


def of_part(part: JobPart, words: str) -> str:
    """Words about settings of `resources`, as this component has them."""
    return words if part.group is None else _SETTING.sub(f"resources.groups.{part.group}.", words)


def origin_of(plan: Plan, cause: str) -> str:
    """The file and line of a setting or of a fact, or of what is in it, and its name."""
    known = plan.origins.get(cause)
    if known is None:
        inside = [key for key in plan.origins if key.startswith(f"{cause}.")]
        known = plan.origins[inside[0]] if inside else None
    return f"{known} ({cause})" if known not in (None, "default") else cause
