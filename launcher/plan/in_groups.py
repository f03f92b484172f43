"""A plan whose groups of nodes have been put into partitions, each by itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from curator_slurm.launcher.plan.model import JobPart, Plan
from curator_slurm.launcher.spec.slurm_time import seconds

if TYPE_CHECKING:
    from curator_slurm.launcher.site.resolution import Resolution
    from curator_slurm.launcher.spec.node_sections import GroupSpec, ResourcesSpec

_SETTING = re.compile(r"\bresources\.(?!time\b)")


def in_groups(plan: Plan, found: Sequence[Resolution | None], nodes: int) -> Plan:
    """The plan with what each group asks for; the run has the shortest of their time limits."""
    resources, origins = plan.spec.resources, dict(plan.origins)
    groups, placed, explain, times = list(resources.groups), {}, [], []
    hidden = any(where is not None and where.values["partition"] is None for where in found)
    for part, where in zip(plan.parts(), found, strict=True):
        assert part.group is not None
        group = groups[part.group]
        if where is None:
            own = {"partition": part.resources.partition} if hidden else {}
            groups[part.group] = group.model_copy(update=own)
            continue
        groups[part.group] = group.model_copy(update=_own_values(resources, group, where, hidden=hidden))
        placed[group.name] = list(where.partitions)
        explain += [f"group {group.name}: {of_part(part, line)}" for line in where.explain]
        if (time := where.values.get("time")) is not None:
            times.append(time)
        for key, causes in where.because.items():
            name = key.removeprefix("resources.")
            if name in where.values or name.startswith("sbatch."):
                origins[part.key(key)] = ", ".join(origin_of(plan, part.key(cause)) for cause in causes) or "default"
    update: dict[str, Any] = {"groups": groups, "nodes": nodes, **({"partition": None} if hidden else {})}
    if resources.time is None and times:
        update["time"] = min(times, key=lambda time: seconds(time) or float("inf"))
    spec = plan.spec.model_copy(update={"resources": resources.model_copy(update=update)})
    return plan.model_copy(update={"spec": spec, "placed_groups": placed, "explain": explain, "origins": origins})


def _own_values(resources: ResourcesSpec, group: GroupSpec, where: Resolution, *, hidden: bool) -> dict[str, Any]:
    """What a group says by itself: not what all of them are asked for alike, so that a retry can change it for all.

    `hidden`: one of them is asked for without naming its partition, and so none is said for all.
    """
    options = {
        key: value
        for key, value in where.values["sbatch"].items()
        if key in group.sbatch or (key, value) not in resources.sbatch.items()
    }
    values = {
        key: value
        for key, value in where.values.items()
        if key != "time"
        and (
            value is None
            or (hidden and key == "partition")
            or getattr(group, key) is not None
            or getattr(resources, key) != value
        )
    }
    return {**values, "sbatch": options}


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
