"""Whether one partition can hold what a run needs, and how it is to be asked then. Pure.

A partition is taken for what the site file says of it. Where that is nothing (no CPUs, no memory), nothing is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.launcher.site.habits import MemoryUse
from curator_slurm.launcher.site.job_place import JobFit, JobPlace, TooLittle
from curator_slurm.launcher.site.job_size import job_limits
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.site.needs import JobNeed
from curator_slurm.launcher.spec.slurm_memory import megabytes, memory_text


def fit(need: JobNeed, site: Site, name: str, *, named: bool) -> JobFit:
    """How the partition `name` would be asked; `named`: the spec itself names it."""
    place = JobPlace(site, name)
    if "exclusive" in need.sbatch:
        place.whole = True
    result = JobFit(name)
    _gpus(result, need, place, named)
    if any(each.final for each in result.shortfalls):
        return result
    _cpus(result, need, place)
    _memory(result, need, place)
    job_limits(result, need, place)
    return result


def _gpus(result: JobFit, need: JobNeed, place: JobPlace, named: bool) -> None:
    """Number of nodes, and GPUs of each."""
    has, part = place.part.gpus, place.part
    if need.wants_gpus and not has:
        result.shortfalls.append(TooLittle("resources.gpus", "it has no GPUs", {}, final=True))
        return
    if need.wants_gpus and need.gpu_type and not place.has_type(need.gpu_type):
        fix = {"gpu_type": part.gpu_type} if part.gpu_type else {}
        kinds = f"its GPUs are {part.gpu_type}, not {need.gpu_type}" if fix else "the kind of its GPUs is not said"
        result.short("gpu_type", kinds, **fix)
    if need.gpus_per_node and need.gpus_per_node > has:
        result.short("gpus_per_node", f"a node has {several(has, 'GPU')}, not {need.gpus_per_node}", gpus_per_node=has)
    least, causes = max(_least_nodes(need, place), key=lambda each: each[0])
    if need.heads:
        least, causes = least + need.heads, (*causes, "cluster.head")
    result.heads = need.heads
    result.nodes = need.nodes or least
    if need.nodes is None:
        result.note("nodes", least, *causes, words="" if causes else "nothing asks for more")
    elif least > need.nodes:
        what = " and ".join(
            cause.rpartition(".")[2] for cause in causes if cause.startswith(("resources.", "cluster."))
        )
        result.short(
            "nodes", f"{what} need {several(least, 'node')} there, and {need.nodes} are asked for", nodes=least
        )
    result.gpus, causes = _gpus_on_node(result, need, place, named)
    if need.own_gpus:
        result.gpus = 0
    elif result.gpus and result.gpus != need.gpus_per_node:
        total = result.working * result.gpus
        more = f"; {total} in all, {need.gpus} are needed" if need.gpus and total != need.gpus else ""
        result.note("gpus_per_node", result.gpus, *causes, words=", ".join(filter(None, causes)) + more)
    if need.cpus and not place.usable and need.cpus_per_node is None and need.nodes is None:
        result.short("cpus", "how many CPUs its nodes have is not said; ask with nodes and cpus_per_node")
    if need.gpus == 0 and part.min_gpus:
        result.short(
            "gpus",
            f"a job there must ask for at least {several(part.min_gpus, 'GPU')} on each node",
            gpus=part.min_gpus,
        )


def _least_nodes(need: JobNeed, place: JobPlace) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Numbers of nodes that parts of the need take, and why."""
    yield 1, ()
    if need.gpus:
        each = min(need.gpus_per_node or place.part.gpus, place.part.gpus)
        cause = "resources.gpus_per_node" if need.gpus_per_node else place.key("gpus")
        yield -(-need.gpus // each), ("resources.gpus", cause)
    if need.cpus and need.cpus_per_node:
        yield -(-need.cpus // need.cpus_per_node), ("resources.cpus", "resources.cpus_per_node")
    elif need.cpus and place.usable:
        by_memory = place.memory // need.mem_per_cpu if need.mem_per_cpu and place.memory else place.usable
        yield -(-need.cpus // place.usable), ("resources.cpus", place.key(_cpu_fact(place)))
        if 0 < by_memory < place.usable:
            yield -(-need.cpus // by_memory), ("resources.cpus", "resources.mem_per_cpu", place.key("memory"))


def _cpu_fact(place: JobPlace) -> str:
    return "usable_cpus" if place.part.usable_cpus else "cpus"


def _gpus_on_node(result: JobFit, need: JobNeed, place: JobPlace, named: bool) -> tuple[int, tuple[str, ...]]:
    """GPUs on each node, and why."""
    part, has = place.part, place.part.gpus
    causes: tuple[str, ...] = ()
    if place.whole and has:
        return has, (place.key("sharing"), place.key("gpus"))
    if need.gpus_per_node:
        wanted, causes = min(need.gpus_per_node, has), ("resources.gpus_per_node",)
    elif need.gpus:
        wanted, causes = -(-need.gpus // result.working), ("resources.gpus",)
    elif need.gpus is None and (need.wants_gpus or (named and has)):
        return has, (place.key("gpus"),)
    else:
        wanted, causes = 0, ()
    if wanted < part.min_gpus and need.gpus != 0:
        wanted, causes = part.min_gpus, (place.key("min_gpus"),)
    if result.nodes > 1 and part.whole_if_several and 0 < wanted < has:
        wanted, causes = has, (place.key("whole_if_several"), place.key("gpus"))
    return min(wanted, has), causes


def _cpus(result: JobFit, need: JobNeed, place: JobPlace) -> None:
    usable, has, fact = place.usable, place.part.gpus, place.key(_cpu_fact(place))
    if need.cpus_per_node is not None:
        result.cpus = need.cpus_per_node
        if usable and need.cpus_per_node > usable:
            words = f"a job may use {several(usable, 'CPU')} of a node, and {need.cpus_per_node} are asked for"
            result.short("cpus_per_node", words, cpus_per_node=usable)
        return
    if need.cpus is not None:
        result.cpus = -(-need.cpus // result.working)
        causes: tuple[str, ...] = ("resources.cpus",)
    elif place.whole or result.gpus in (0, has):
        result.cpus, causes = usable, (fact,)
    elif usable:
        result.cpus, causes = max(usable * result.gpus // has, 1), (fact, place.key("gpus"))
    if place.whole and usable and not (result.cpus and result.cpus > usable):
        result.cpus, causes = usable, (place.key("sharing"), fact)
    if result.cpus is None:
        return
    if usable and result.cpus > usable:
        words = (
            f"{several(result.cpus, 'CPU')} on each of {several(result.working, 'node')} are more than "
            f"the {usable} that a job may use"
        )
        result.short("cpus", words, cpus=usable * result.working)
        result.cpus = usable
    result.note("cpus_per_node", result.cpus, *causes)


def _memory(result: JobFit, need: JobNeed, place: JobPlace) -> None:
    """Memory of each node, in the way of the partition."""
    asked, has = need.mem_per_node, place.memory
    if asked is None and need.mem_per_cpu is not None and result.cpus:
        asked = need.mem_per_cpu * (-(-need.cpus // result.working) if need.cpus else result.cpus)
    key = "mem_per_node" if need.mem_per_node is not None else "mem_per_cpu"
    if asked is not None and has is not None and asked > has:
        most = has if key == "mem_per_node" else has // max(result.cpus or 1, 1)
        words = f"a node has {memory_text(has)} for jobs, and {memory_text(asked)} are asked for"
        result.short(key, words, **{key: memory_text(most)})
        return
    own_option = any(option in need.sbatch for option in ("mem-per-cpu", "mem-per-gpu"))
    if place.mem_by is MemoryUse.USE:
        if asked is None and has is not None and not own_option:
            share, causes = _share(result, place)
            result.memory_mb = has * share[0] // share[1]
            result.note("mem_per_node", memory_text(result.memory_mb), place.key("memory"), *causes)
        else:
            result.memory_mb = asked
            if asked is not None and key == "mem_per_cpu":
                result.note("mem_per_node", memory_text(asked), "resources.mem_per_cpu", "resources.cpus_per_node")
        return
    _memory_follows(result, asked, key, place)


def _share(result: JobFit, place: JobPlace) -> tuple[tuple[int, int], tuple[str, ...]]:
    """The part of a node that a job has, and why."""
    if place.whole:
        return (1, 1), (place.key("sharing"),)
    if result.gpus and place.part.gpus:
        return (result.gpus, place.part.gpus), ("resources.gpus_per_node",)
    if result.cpus and place.usable:
        return (min(result.cpus, place.usable), place.usable), ("resources.cpus_per_node",)
    return (1, 1), ()


def _memory_follows(result: JobFit, asked: int | None, key: str, place: JobPlace) -> None:
    """Where no memory is asked of Slurm: whether what comes with CPUs or GPUs is enough."""
    part, rule = place.part, place.key("mem_by") if place.part.mem_by else "slurm.mem"
    if place.mem_by is MemoryUse.PER_CPU and part.mem_per_cpu and asked is not None:
        each = megabytes(part.mem_per_cpu)
        enough = -(-asked // each)
        if result.cpus is not None and enough > result.cpus:
            if place.usable and enough > place.usable:
                most = memory_text(place.usable * each)
                result.short(key, f"memory follows CPUs there: at most {most} on a node", mem_per_node=most)
            result.cpus = enough
            result.note("cpus_per_node", enough, f"resources.{key}", place.key("mem_per_cpu"))
    if place.mem_by is MemoryUse.PER_GPU and part.mem_per_gpu and asked is not None and result.gpus:
        each = megabytes(part.mem_per_gpu)
        enough = -(-asked // each)
        if enough > result.gpus:
            given = f"memory follows GPUs there: {memory_text(each * result.gpus)} come with {result.gpus} on a node"
            fix: Mapping[str, Any] = (
                {"gpus_per_node": enough} if enough <= part.gpus else {key: memory_text(each * result.gpus)}
            )
            result.short(key, given, **fix)
    way = {
        MemoryUse.NEVER: "not asked for",
        MemoryUse.WHOLE_NODE: f"all of a node's, --mem={place.site.slurm.whole_node_mem}",
        MemoryUse.PER_CPU: "follows CPUs, not asked for",
        MemoryUse.PER_GPU: "follows GPUs, not asked for",
    }[place.mem_by]
    result.note("mem_per_node", way, rule)
