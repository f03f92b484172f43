"""Number of nodes and time of a job against what a partition allows. Pure."""

from __future__ import annotations

from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher.site.job_place import JobFit, JobPlace
from curator_slurm.launcher.site.limits import LimitsSpec
from curator_slurm.launcher.site.needs import JobNeed
from curator_slurm.launcher.spec.slurm_time import seconds, time_text


def job_limits(result: JobFit, need: JobNeed, place: JobPlace) -> None:
    """Note the time limit of the job, and what is above a limit of the partition."""
    limits = place.part.limits
    _nodes(result, need, place, limits)
    result.time = need.time
    longest = _longest(result.nodes, place, limits)
    if result.time is None and place.part.default_time is not None:
        result.time, cause = place.part.default_time, place.key("default_time")
        if longest and (seconds(result.time) or 0) > longest[0]:
            result.time, cause = time_text(longest[0]), longest[1]
        result.note("time", result.time, cause)
        return
    asked = seconds(result.time) if result.time else None
    if asked is not None and longest and asked > longest[0]:
        most = time_text(longest[0])
        words = (
            f"{result.time} is longer than the {most} that a job with {several(result.nodes, 'node')} may have there"
        )
        result.short("time", words, time=most)


def _nodes(result: JobFit, need: JobNeed, place: JobPlace, limits: LimitsSpec) -> None:
    least = limits.min_nodes or 1
    if result.nodes < least:
        result.short(
            "nodes",
            f"a job there must have at least {several(least, 'node')}",
            **_with_nodes(least, need, place, result),
        )
    bounds = [limits.nodes, place.part.node_count]
    if limits.time_by_nodes:
        bounds.append(limits.time_by_nodes[-1].nodes)
    most = min((bound for bound in bounds if bound is not None), default=None)
    if limits.gpus is not None and result.nodes * result.gpus > limits.gpus:
        words = (
            f"{several(result.nodes * result.gpus, 'GPU')} are more than the {limits.gpus} that a job may have there"
        )
        by_gpus = limits.gpus // result.gpus
        fix = _with_nodes(by_gpus, need, place, result) if by_gpus else {"gpus_per_node": limits.gpus}
        fix |= {"gpus": min(fix["gpus"], limits.gpus)} if "gpus" in fix else {}
        result.short("gpus" if need.gpus else "nodes", words, **fix)
    if most is not None and result.nodes > most:
        words = f"{several(result.nodes, 'node')} are more than the {most} that a job may have there"
        result.short(_asks(need), words, **_with_nodes(most, need, place, result))


def _asks(need: JobNeed) -> str:
    """The setting that decides how many nodes there are."""
    return "nodes" if need.nodes is not None else "gpus" if need.gpus else "cpus" if need.cpus else "nodes"


def _with_nodes(nodes: int, need: JobNeed, place: JobPlace, result: JobFit) -> dict[str, Any]:
    """The settings with which a job has so many nodes, and of these as much as it may."""
    fix: dict[str, Any] = {}
    if need.nodes is not None or not (need.gpus or need.cpus):
        fix["nodes"] = nodes
    if need.gpus:
        fix["gpus"] = max(nodes - need.heads, 1) * (need.gpus_per_node or place.part.gpus or result.gpus)
    if need.cpus:
        fix["cpus"] = max(nodes - need.heads, 1) * (need.cpus_per_node or _most_cpus(need, place) or result.cpus or 1)
    return fix


def _most_cpus(need: JobNeed, place: JobPlace) -> int:
    """CPUs of a node that a job may have with the memory that it asks for with each."""
    usable = place.usable or 0
    return min(usable, place.memory // need.mem_per_cpu) if need.mem_per_cpu and place.memory else usable


def _longest(nodes: int, place: JobPlace, limits: LimitsSpec) -> tuple[int, str] | None:
    """Seconds that a job with so many nodes may have at most, and the limit that says so; None: no limit is known."""
    found: list[tuple[int, str]] = []
    key = place.key("limits")
    if limits.time is not None and (most := seconds(limits.time)) is not None:
        found.append((most, f"{key}.time"))
    step = next((step for step in limits.time_by_nodes if nodes <= step.nodes), None)
    if step is not None and (most := seconds(step.time)) is not None:
        found.append((most, f"{key}.time_by_nodes"))
    if limits.node_hours is not None:
        found.append((int(limits.node_hours * 3600) // nodes // 60 * 60 or 60, f"{key}.node_hours"))
    return min(found, default=None)
