"""Whether a node of the run can hold a worker of each stage, as far as the spec says what nodes have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher.plan.model import Cluster, JobPart, Plan

_OTHER_GPUS = ("gres", "gpus", "tres", "exclusive")
_OTHER_CPUS = ("mincpus", "tres", "exclusive", "threads-per-core")
"""Options of sbatch with which a node of the job may have more than `resources` says."""


@dataclass(frozen=True)
class Misfit:
    """A stage whose workers have no place, and the setting that would make one."""

    words: str
    key: str
    is_certain: bool = True


def misfits(plan: Plan, stages: list[Any]) -> Iterator[Misfit]:
    """What does not fit, one a stage at most."""
    local = plan.cluster is Cluster.LOCAL
    for number, stage in enumerate(stages, 1):
        resources = getattr(stage, "resources", None)
        group = getattr(resources, "group", None)
        nodes = [part for part in plan.parts() if local or group is None or _name(plan, part) == group]
        what = f"stage {number}, {str(getattr(stage, 'name', type(stage).__name__))!r},"
        gpus, cpus = (float(getattr(resources, key, 0) or 0) for key in ("gpus", "cpus"))
        with_gpus = [part for part in nodes if not gpus > _gpus(part)]
        if nodes and not with_gpus:
            yield _no_gpus(nodes, f"{what} needs {several(gpus, 'GPU')} per worker, and {_of(plan, nodes)}", local)
        elif with_gpus and all(cpus > _cpus(part, local) for part in with_gpus):
            most = max(_cpus(part, local) for part in with_gpus)
            is_told = any(part.resources.cpus_per_node for part in with_gpus)
            whose = "resources.cpus_per_node" if is_told else "this machine"
            yield Misfit(
                f"{what} needs {several(cpus, 'CPU')} per worker, and {_of(plan, with_gpus)} has {most:g} ({whose}); "
                "ask for more, or lower `resources` of the stage",
                "resources.cpus_per_node",
            )


def _no_gpus(nodes: list[JobPart], words: str, local: bool) -> Misfit:
    most = max(_gpus(part) for part in nodes)
    words = f"{words} has {most:g} (resources.gpus_per_node)"
    if most or local:
        return Misfit(f"{words}; ask for more, or lower `resources` of the stage", "resources.gpus_per_node")
    return Misfit(
        f"{words}; it can run only where nodes have GPUs that nobody asked for", "resources", is_certain=False
    )


def _of(plan: Plan, nodes: list[JobPart]) -> str:
    names = [name for part in nodes if (name := _name(plan, part)) is not None]
    return f"a node of group {' or '.join(names)}" if names else "a node of the run"


def _name(plan: Plan, part: JobPart) -> str | None:
    return None if part.group is None else plan.spec.resources.groups[part.group].name


def _gpus(part: JobPart) -> float:
    return float("inf") if _has_option(part, _OTHER_GPUS) else part.resources.gpu_count


def _cpus(part: JobPart, local: bool) -> float:
    """CPUs of a node; infinite where nobody has said how many."""
    if part.resources.cpus_per_node is None:
        return len(os.sched_getaffinity(0)) if local else float("inf")
    is_more = _has_option(part, _OTHER_CPUS) or part.habits.exclusive == "always"
    return float("inf") if is_more else part.resources.cpus_per_node


def _has_option(part: JobPart, names: tuple[str, ...]) -> bool:
    return any(option.startswith(names) for option in part.resources.sbatch)
