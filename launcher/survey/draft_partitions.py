"""The partitions of a first site file, from what Slurm says and what a node of each has answered. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from curator_slurm.common.in_words import several
from curator_slurm.launcher.slurm.account_limits import QosLimits
from curator_slurm.launcher.slurm.node_groups import EqualNodes
from curator_slurm.launcher.slurm.partition_rules import PartitionRules, is_preempted
from curator_slurm.launcher.spec.slurm_memory import memory_text
from curator_slurm.launcher.spec.slurm_time import time_text
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers
from curator_slurm.launcher.survey.commented_yaml import Block, Item, Key, Words, decide
from curator_slurm.launcher.survey.probe_jobs import Probe

_SHORT_S = 3600
"""A partition with a lower time limit is for trying things."""


@dataclass(frozen=True)
class _Entry:
    """The nodes of a partition with GPUs of one type, or with none; nodes with two types are in two entries."""

    name: str
    gpu_type: str | None
    """None without GPUs, empty where Slurm does not say the type."""
    groups: Sequence[EqualNodes]


def partition_blocks(answers: ClusterAnswers, probes: Mapping[str, Probe]) -> list[Item]:
    """One section for each partition, and several where its nodes have different GPUs; the default one comes first."""
    ordered = sorted(answers.partitions, key=lambda each: not each.is_default)
    found: list[Item] = []
    names = {each.name for each in ordered}
    for rules in ordered:
        entries = list(_entries(rules.name, answers, names))
        found += [Block(entry.name, list(_facts(entry, rules, answers, probes.get(rules.name)))) for entry in entries]
        if not entries:
            found.append(decide(f"{rules.name}: sinfo shows none of its nodes"))
    return found


def gpu_types(answers: ClusterAnswers) -> dict[str, str]:
    """The key of each type of GPU -> its type in Slurm."""
    found = dict.fromkeys(kind for group in answers.groups for kind, _ in group.gpus if kind)
    return {kind.lower(): kind for kind in found}


def _entries(partition: str, answers: ClusterAnswers, names: set[str]) -> Iterator[_Entry]:
    """Where a partition becomes several, they get names that nothing has yet."""
    by_type: dict[str | None, list[EqualNodes]] = {}
    for group in answers.of(partition):
        for kind in dict(group.gpus) or (None,):
            if group.nodes and group.cpus:  # sinfo has a row of zeros for a partition without nodes
                by_type.setdefault(kind, []).append(group)
    for kind, groups in by_type.items():
        name = partition
        if len(by_type) > 1:
            base = f"{partition}-{'cpu' if kind is None else (kind or 'gpu').lower()}"
            name = next(
                each for each in chain([base], (f"{base}-{number}" for number in count(2))) if each not in names
            )
            names.add(name)
        yield _Entry(name, kind, groups)


def _facts(entry: _Entry, rules: PartitionRules, answers: ClusterAnswers, probe: Probe | None) -> Iterator[Item]:
    if entry.name != rules.name:
        yield Key("slurm_name", rules.name, "several entries are about it: its nodes have different GPUs (sinfo)")
    if not rules.is_up:
        yield Words(f"State={rules.state} (scontrol show partition): jobs wait, or are refused")
    yield from _choice(rules, answers)
    if rules.whole_nodes or answers.configuration.gives_whole_nodes:
        why = "OverSubscribe=EXCLUSIVE" if rules.whole_nodes else "SelectType=select/linear"
        yield Key("sharing", "whole", f"{why}: jobs get whole nodes")
        if answers.configuration.shares_memory:
            yield Key("mem_by", "whole_node", "--mem=0; what comes with the node")
    yield from _nodes(entry, answers)
    yield from _gpus(entry, rules, probe)
    yield from _time(rules)
    limits = list(_limits(rules, answers))
    if limits:
        yield Block("limits", limits)
    yield from _probed(rules.name, probe)


def _choice(rules: PartitionRules, answers: ClusterAnswers) -> Iterator[Item]:
    """Whether runs that name no partition may be put there."""
    if rules.is_default:
        yield Words("the default partition of Slurm")
    if is_preempted(rules, list(answers.partitions), answers.configuration.preempt_type):
        yield Key("preempted", True, f"PreemptMode={rules.preempt_mode}, PriorityTier={rules.priority_tier}")
        yield Key("choose", False, "its jobs may be preempted: for those who name it")
    elif rules.restricted:
        yield Key("choose", False, f"{', '.join(rules.restricted)}: not everybody may use it")
    elif not rules.is_up:
        yield Key("choose", False, f"State={rules.state}")
    elif not rules.is_default and rules.max_time_s is not None and rules.max_time_s < _SHORT_S:
        yield Key("choose", False, f"MaxTime={time_text(rules.max_time_s)}: to try things")


def _nodes(entry: _Entry, answers: ClusterAnswers) -> Iterator[Item]:
    groups = entry.groups
    cpus = min(group.cpus for group in groups)
    usable = min(answers.usable_cpus(group) for group in groups)
    memory = min(answers.usable_memory_mb(group) for group in groups)
    yield Key("node_count", sum(group.nodes for group in groups), "sinfo")
    yield Key("cpus", cpus)
    if usable < cpus:
        yield Key("usable_cpus", usable, "CPUEfctv: the system keeps the others (scontrol show node)")
    kept = max(group.memory_mb - answers.usable_memory_mb(group) for group in groups)
    less = f", less MemSpecLimit={kept}" if kept else ""
    if memory > 1:
        yield Key("memory", memory_text(memory), f"RealMemory{less}")
    else:
        yield decide("memory: slurm.conf has no RealMemory for these nodes")
    if len(groups) > 1 and len({(group.cpus, group.memory_mb, group.gpus) for group in groups}) > 1:
        shapes = "; ".join(
            f"{group.nodes} with {several(group.cpus, 'CPU')}, {memory_text(group.memory_mb)}"
            + (f", features {','.join(group.features)}" if group.features else "")
            for group in groups
        )
        yield decide(
            f"its nodes differ, and the least is written: {shapes}. For runs that need the larger ones: one entry "
            "each, with slurm_name and constraint"
        )
    features = dict.fromkeys(feature for group in groups for feature in group.features)
    if features:
        yield Words(f"features: {', '.join(features)} (sinfo)")


def _gpus(entry: _Entry, rules: PartitionRules, probe: Probe | None) -> Iterator[Item]:
    if entry.gpu_type is None:
        return
    each = [sum(count for kind, count in group.gpus if kind == entry.gpu_type) for group in entry.groups]
    yield Key("gpus", min(each), "Gres (sinfo)")
    if entry.gpu_type:
        yield Key("gpu_type", entry.gpu_type.lower())
    else:
        seen = dict.fromkeys(name for name, _ in (probe.report.gpus if probe and probe.report else ()))
        names = f" (nvidia-smi there: {', '.join(seen)})" if seen else ""
        yield decide(f"gpu_type: Slurm does not say which GPUs these are{names}; add the type to gpu_types, too")
    if rules.follows:
        yield Words(f"JobDefaults={','.join(rules.follows)}: what a job gets that asks for GPUs alone")
    if probe and probe.job_id and any(option.startswith("--gres") for option in probe.options):
        refusal = probe.refusals[0][1] if probe.refusals else ""
        yield Key("min_gpus", 1, f"a job without GPU was refused: {refusal}")


def _time(rules: PartitionRules) -> Iterator[Item]:
    if rules.default_time_s is None or rules.default_time_s == rules.max_time_s:
        return
    given = time_text(rules.default_time_s)
    yield Key("default_time", given, f"{_DEFAULT_TIME} {given}", off=True)


_DEFAULT_TIME = "DECIDE: where a run has no time, Slurm gives it DefaultTime:"


def _limits(rules: PartitionRules, answers: ClusterAnswers) -> Iterator[Item]:
    """The partition's own, or those of its QOS where they are lower."""
    qos = answers.qos_named(rules.qos) if rules.qos else None
    nodes = _lower((rules.max_nodes, "MaxNodes"), (qos.max_nodes if qos else None, _of(qos, "MaxTRES")))
    times = _lower((rules.max_time_s, "MaxTime"), (qos.max_time_s if qos else None, _of(qos, "MaxWall")))
    if nodes:
        yield Key("nodes", nodes[0], nodes[1])
    if rules.min_nodes and rules.min_nodes > 1:
        yield Key("min_nodes", rules.min_nodes, "MinNodes")
    if qos and qos.max_gpus is not None:
        yield Key("gpus", qos.max_gpus, _of(qos, "MaxTRES"))
    if times:
        yield Key("time", time_text(times[0]), times[1])
    if qos and qos.max_submitted is not None:
        yield Key("submitted_jobs", qos.max_submitted, _of(qos, "MaxSubmitPU"))
    if qos and qos.max_running is not None:
        yield Key("running_jobs", qos.max_running, _of(qos, "MaxJobsPU"))
    if rules.qos and qos is None:
        yield decide(f"limits of QOS {rules.qos}, which all jobs here have, and which could not be read")


def _of(qos: QosLimits | None, what: str) -> str:
    return f"{what} of QOS {qos.name} (sacctmgr show qos)" if qos else ""


def _lower(*limits: tuple[int | None, str]) -> tuple[int, str] | None:
    return min(((value, words) for value, words in limits if value is not None), default=None)


def _probed(partition: str, probe: Probe | None) -> Iterator[Item]:
    """What the node has answered about CPUs, or why there is no answer."""
    if probe is None:
        return
    if probe.report is None:
        again = f"site init --probe --partition {partition}"
        yield decide(f"no probe: {probe.failure}. Look at a node by hand, or run {again}")
        return
    report = probe.report
    yield Words(f"probed on {report.host}: {_cpus_of(report.visible_cpus, report.allowed_cpus, report.slurm_cpus)}")
    whole = "--exclusive" in probe.options
    given, allowed, visible = report.slurm_cpus, report.allowed_cpus, report.visible_cpus
    if whole and given and allowed and allowed < given:
        if visible is not None and visible < given:
            yield decide(
                f"cpus: the machine has {several(visible, 'CPU')}, and Slurm counts {given}: is slurm.conf right?"
            )
        else:
            yield Key("usable_cpus", allowed, "a job with the whole node may run on these alone", off=True)
            yield decide("usable_cpus: take it over where that is so on all nodes")
    if probe.clock_offset_s is not None:
        side = "ahead of" if probe.clock_offset_s > 0 else "behind"
        yield decide(
            f"the clock of {report.host} is at least {abs(probe.clock_offset_s)} s {side} that of this machine: "
            "times in logs, and tokens that expire, are wrong there"
        )


def _cpus_of(visible: int | None, allowed: int | None, given: int | None) -> str:
    return f"{visible or '?'} CPUs visible, {allowed or '?'} usable in a job that Slurm gave {given or '?'}"
