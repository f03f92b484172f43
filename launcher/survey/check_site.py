"""A site file by itself: what contradicts itself, and what is missing. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from curator_slurm.common.in_words import several
from curator_slurm.launcher.site.cluster_facts import Internet, PartitionSpec, Sharing
from curator_slurm.launcher.site.habits import ExclusiveUse, GpuUse
from curator_slurm.launcher.site.limits import LimitsSpec
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.spec.slurm_time import seconds
from curator_slurm.launcher.survey.commented_yaml import DECIDE
from curator_slurm.launcher.survey.findings import Severity, SiteFinding, error, note, warning

_LIMITS = ("nodes", "gpus", "node_hours", "running_shards", "submitted_jobs", "running_jobs")


def check_site(site: Site) -> Iterator[SiteFinding]:
    """Everything about the file alone."""
    if not site.site.contact:
        step = "set site.contact to a mail address or a page"
        yield warning("site.contact", "nobody is named whom messages about limits and locks could name", step)
    for name, own in site.partitions.items():
        yield from _partition(name, own, site.partition(name) or own, site.limits)
    yield from _limits("limits", site.limits)
    yield from _names(site)
    yield from _defaults(site)
    yield from _network(site)
    unused = [name for name in site.gpu_types if all(each.gpu_type != name for each in _partitions(site))]
    for name in unused:
        yield note(f"gpu_types.{name}", f"no partition has gpu_type: {name}", "name it there, or leave the type out")


def left_to_decide(text: str, path: str) -> Iterator[SiteFinding]:
    """What `site init` has left to the administrator, in comments that are still there."""
    for number, line in enumerate(text.splitlines(), 1):
        before, mark, words = line.partition(f"{DECIDE} ")
        if mark and "#" in before:
            yield SiteFinding(Severity.NOTE, "", f"left to decide: {words}", "", f"{path}:{number}")


def _partitions(site: Site) -> list[PartitionSpec]:
    return [site.partition_defaults, *site.partitions.values()]


def _partition(name: str, own: PartitionSpec, partition: PartitionSpec, whole: LimitsSpec) -> Iterator[SiteFinding]:
    """One partition: what it says itself, and with what holds for all."""
    at = f"partitions.{name}"
    if partition.usable_cpus and partition.cpus and partition.usable_cpus > partition.cpus:
        message = f"jobs may use {several(partition.usable_cpus, 'CPU')} of a node that has {partition.cpus}"
        yield error(f"{at}.usable_cpus", message, "usable_cpus is at most cpus")
    if partition.min_gpus > partition.gpus:
        message = (
            f"a job must ask for {several(partition.min_gpus, 'GPU')} of a node that has "
            f"{partition.gpus}: nothing can run"
        )
        yield error(f"{at}.min_gpus", message, "min_gpus is at most gpus")
    if partition.gpu_type and not partition.gpus:
        yield error(f"{at}.gpu_type", f"it has GPUs of type {partition.gpu_type}, and gpus is 0", "set gpus")
    yield from _limits(f"{at}.limits", partition.limits)
    for key in _LIMITS:
        mine, above = getattr(partition.limits, key), getattr(whole, key)
        if mine is not None and above is not None and mine > above:
            message = f"{mine} is more than limits.{key} of the whole site, {above}, which counts"
            yield warning(f"{at}.limits.{key}", message, "make one of them the other")
    own_time, above_time = _seconds(partition.limits.time), _seconds(whole.time)
    if own_time and above_time and own_time > above_time:
        message = f"{partition.limits.time} is longer than limits.time of the whole site, {whole.time}, which counts"
        yield warning(f"{at}.limits.time", message, "make one of them the other")
    longest = min((each for each in (own_time, above_time) if each), default=None)
    given = _seconds(partition.default_time)
    if given and longest and given > longest and "default_time" in own.model_fields_set:
        message = f"{partition.default_time} is longer than the limit, which a run without time gets instead"
        yield warning(f"{at}.default_time", message, "make it at most limits.time")


def _limits(at: str, limits: LimitsSpec) -> Iterator[SiteFinding]:
    if limits.min_nodes and limits.nodes and limits.min_nodes > limits.nodes:
        message = (
            f"a job must have {several(limits.min_nodes, 'node')} at least and {limits.nodes} at most: nothing can run"
        )
        yield error(f"{at}.min_nodes", message, "min_nodes is at most nodes")
    steps = [step.nodes for step in limits.time_by_nodes]
    if steps != sorted(set(steps)):
        message = "the first step with enough nodes counts, and these are not in order"
        yield error(f"{at}.time_by_nodes", message, "smallest number of nodes first, none twice")


def _names(site: Site) -> Iterator[SiteFinding]:
    """Partitions that are named and not described."""
    if not site.partitions:
        return
    known = [*site.partitions, *(each.slurm_name for each in site.partitions.values() if each.slurm_name)]
    for key, name in named_partitions(site):
        if name not in known:
            yield error(key, f"partition {name} is not in partitions", hint(name, known))
    if not any((site.partition(name) or PartitionSpec()).choose for name in site.partitions):
        message = "no partition may be chosen (choose: false in all): a run that names none is refused"
        yield warning("partitions", message, "leave choose out in one, or set resources.partition")


def named_partitions(site: Site) -> Iterator[tuple[str, str]]:
    """(key, name) of every partition that defaults name."""
    given = {"resources.partition": site.resources.partition, "collect.partition": site.collect.partition}
    for key, names in given.items():
        for name in (names or "").split(","):
            if name.strip():
                yield key, name.strip()


def hint(name: str, known: list[str]) -> str:
    """What may have been meant by a name."""
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"


def _defaults(site: Site) -> Iterator[SiteFinding]:
    """Defaults of specs that the site's own limits and habits refuse."""
    resources, slurm = site.resources, site.slurm
    if site.limits.nodes and resources.nodes > site.limits.nodes:
        message = f"the default of {several(resources.nodes, 'node')} is more than limits.nodes, {site.limits.nodes}"
        yield error("resources.nodes", message, "lower it")
    given, longest = _seconds(resources.time), _seconds(site.limits.time)
    if given and longest and given > longest:
        message = f"the default of {resources.time} is longer than limits.time, {site.limits.time}"
        yield error("resources.time", message, "lower it")
    whole = any(each.sharing is Sharing.WHOLE for each in _partitions(site))
    gpus = [name for name, each in site.partitions.items() if each.gpus and not each.constraint]
    if slurm.gpus is GpuUse.NEVER and gpus and not whole and slurm.exclusive is not ExclusiveUse.ALWAYS:
        message = f"GPUs are never asked for, and nodes of {', '.join(gpus)} are shared: jobs there get none"
        yield warning("slurm.gpus", message, "gpus_per_node or gres, or sharing: whole where nodes are given whole")


def _network(site: Site) -> Iterator[SiteFinding]:
    ways = {"network.internet": site.network.internet}
    ways |= {f"partitions.{name}.internet": each.internet for name, each in site.partitions.items()}
    proxied = [key for key, way in ways.items() if way is Internet.PROXY]
    if proxied and not (site.network.proxy.http or site.network.proxy.https):
        yield error(proxied[0], "the internet is reached by a proxy, and none is named", "set network.proxy.http")
    if not proxied and (site.network.proxy.http or site.network.proxy.https):
        message = "a proxy is named, and no internet: proxy says that it is used: runs do not get it"
        yield warning("network.proxy", message, "set network.internet: proxy")


def _seconds(text: str | None) -> int | None:
    return seconds(text) if text else None
