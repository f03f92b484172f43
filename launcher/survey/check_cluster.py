"""A site file compared with what Slurm says. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from curator_slurm.common.in_words import several
from curator_slurm.launcher.site.cluster_facts import PartitionSpec, Sharing
from curator_slurm.launcher.site.habits import GpuUse, MemoryUse
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.slurm.node_groups import EqualNodes
from curator_slurm.launcher.slurm.partition_rules import PartitionRules
from curator_slurm.launcher.spec.slurm_memory import megabytes, memory_text
from curator_slurm.launcher.spec.slurm_time import seconds, time_text
from curator_slurm.launcher.survey.ask_cluster import ClusterAnswers
from curator_slurm.launcher.survey.check_site import hint, named_partitions
from curator_slurm.launcher.survey.findings import SiteFinding, error, note, warning

_FEATURE = re.compile(r"(?<![\w*.:+-])[\w.:+-]+")
"""Not the number in `rack*2`."""


def check_cluster(site: Site, answers: ClusterAnswers) -> Iterator[SiteFinding]:
    """Where the file and the cluster differ."""
    yield from _identity(site, answers)
    yield from _habits(site, answers)
    known = {rules.name: rules for rules in answers.partitions}
    described: set[str] = set()
    for name in site.partitions:
        partition = site.partition(name) or PartitionSpec()
        slurm_name = partition.slurm_name or name
        described.add(slurm_name)
        if not partition.option_partition:
            continue
        if slurm_name not in known:
            key = f"partitions.{name}" + (".slurm_name" if partition.slurm_name else "")
            message = f"Slurm has no partition {slurm_name}, as {answers.user} sees it"
            yield error(key, message, hint(slurm_name, [*known]))
            continue
        yield from _partition(f"partitions.{name}", partition, known[slurm_name], site, answers)
    if site.partitions and (missing := [name for name in known if name not in described]):
        message = f"Slurm has partitions that are not described: {', '.join(missing)}"
        yield note("partitions", message, "describe them, or leave them to who names them")
    yield from _names(site, answers)


def _identity(site: Site, answers: ClusterAnswers) -> Iterator[SiteFinding]:
    name, named = answers.configuration.name, site.site.cluster_names
    if name and named and name.lower() not in [each.lower() for each in named]:
        message = f"the ClusterName of this Slurm is {name}, and site.cluster_names has {', '.join(named)}"
        yield warning("site.cluster_names", message, "is this the file of another cluster?")
    for words in answers.unanswered:
        yield note("", f"Slurm did not answer, so it was not compared: {words}")


def _habits(site: Site, answers: ClusterAnswers) -> Iterator[SiteFinding]:
    found, slurm = answers.configuration, site.slurm
    if not found.shares_memory and slurm.mem in (MemoryUse.USE, MemoryUse.WHOLE_NODE):
        parameters = ",".join(found.select_parameters) or "none"
        message = f"SelectTypeParameters is {parameters}: Slurm gives no memory to jobs, and --mem keeps none for them"
        yield warning("slurm.mem", message, "set slurm.mem: never")
    gpus = any(each.gpus for each in site.partitions.values())
    if gpus and not found.knows_gpus and slurm.gpus is GpuUse.GPUS_PER_NODE:
        message = f"SelectType is {found.select_type}, which does not know --gpus-per-node"
        yield error("slurm.gpus", message, "set slurm.gpus: gres")
    has_account = slurm.account_required or site.resources.account or answers.default_account or answers.unanswered
    if found.needs_association and not has_account:
        enforced = ",".join(found.enforced)
        message = f"AccountingStorageEnforce is {enforced}, and {answers.user} has no default account"
        yield warning("slurm.account_required", message, "set slurm.account_required: true")
    submitted = [each.max_submitted for each in answers.associations if each.max_submitted is not None]
    ours = site.limits.submitted_jobs
    if submitted and ours is not None and ours > max(submitted):
        message = f"{ours} is more than {answers.user} may submit, {max(submitted)} (MaxSubmit, sacctmgr show assoc)"
        yield warning("limits.submitted_jobs", message, "lower it, unless others may submit more")


def _partition(
    at: str, partition: PartitionSpec, rules: PartitionRules, site: Site, answers: ClusterAnswers
) -> Iterator[SiteFinding]:
    if not rules.is_up:
        yield warning(at, f"it is {rules.state or 'not up'} in Slurm: jobs there wait or are refused", "is that meant?")
    whole = rules.whole_nodes or answers.configuration.gives_whole_nodes
    if whole and partition.sharing is Sharing.SHARED:
        message = "Slurm gives whole nodes there (OverSubscribe=EXCLUSIVE), and the file says that they are shared"
        yield warning(f"{at}.sharing", message, "set sharing: whole")
    yield from _limits(at, partition, rules, answers)
    groups = answers.of(rules.name)
    if partition.constraint:
        features = {feature for group in groups for feature in group.features}
        for word in _FEATURE.findall(partition.constraint):
            if word not in features:
                message = f"no node of {rules.name} has the feature {word}"
                yield error(f"{at}.constraint", message, hint(word, sorted(features)))
    if groups:
        yield from _nodes(at, partition, groups, site, answers)
    qos = [each.name for each in answers.qos]
    if partition.qos and qos and partition.qos not in qos:
        yield error(f"{at}.qos", f"there is no QOS {partition.qos}", hint(partition.qos, qos))


def _limits(at: str, partition: PartitionSpec, rules: PartitionRules, answers: ClusterAnswers) -> Iterator[SiteFinding]:
    limits = partition.limits
    qos = answers.qos_named(rules.qos) if rules.qos else None
    longest = min((each for each in (rules.max_time_s, qos.max_time_s if qos else None) if each), default=None)
    ours = seconds(limits.time) if limits.time else None
    if ours and longest and ours > longest:
        message = f"{limits.time} is longer than Slurm allows there, {time_text(longest)} (MaxTime, or its QOS)"
        yield error(f"{at}.limits.time", message, f"set {time_text(longest)}")
    given = seconds(partition.default_time) if partition.default_time else None
    if given and longest and given > longest:
        message = f"{partition.default_time} is longer than Slurm allows there, {time_text(longest)}"
        yield error(f"{at}.default_time", message, f"at most {time_text(longest)}")
    most = min((each for each in (rules.max_nodes, qos.max_nodes if qos else None) if each), default=None)
    if limits.nodes and most and limits.nodes > most:
        message = (
            f"{several(limits.nodes, 'node')} are more than Slurm allows a job there, {most} (MaxNodes, or its QOS)"
        )
        yield error(f"{at}.limits.nodes", message, f"set {most}")
    submitted = qos.max_submitted if qos else None
    if limits.submitted_jobs and submitted is not None and limits.submitted_jobs > submitted:
        message = f"{limits.submitted_jobs} is more than QOS {rules.qos} allows, {submitted} (MaxSubmitPU)"
        yield error(f"{at}.limits.submitted_jobs", message, f"set {submitted}")
    if rules.node_count is not None and partition.node_count and partition.node_count > rules.node_count:
        message = f"the partition has {several(rules.node_count, 'node')}"
        yield warning(f"{at}.node_count", message, f"set {rules.node_count}")


def _nodes(
    at: str, partition: PartitionSpec, groups: Sequence[EqualNodes], site: Site, answers: ClusterAnswers
) -> Iterator[SiteFinding]:
    """CPUs, memory and GPUs: what no node has would let jobs wait for ever."""
    gpu = site.gpu_types.get(partition.gpu_type or "")
    kind = gpu.gres_type if gpu else None
    kinds = {name for group in groups for name, _ in group.gpus if name}
    if kind and kind not in kinds:
        key = f"gpu_types.{partition.gpu_type}.gres_type"
        step = hint(kind, sorted(kinds)) if kinds else "Slurm gives its GPUs no types there: leave gres_type out"
        yield error(key, f"no node of {at.removeprefix('partitions.')} has gpu:{kind}", step)
        kind = None
    fitting = [group for group in groups if not kind or any(name == kind for name, _ in group.gpus)]
    most_gpus = max(sum(count for name, count in group.gpus if not kind or name == kind) for group in fitting)
    if partition.gpus > most_gpus:
        message = (
            f"no node there has more than {several(most_gpus, 'GPU')}: a job that asks for "
            f"{partition.gpus} waits for ever"
        )
        yield error(f"{at}.gpus", message, f"set {most_gpus}")
    if partition.cpus and partition.cpus > (most := max(group.cpus for group in fitting)):
        message = f"no node there has more than {several(most, 'CPU')}: a job with a whole node waits for ever"
        yield error(f"{at}.cpus", message, f"set {most}")
    usable = max(answers.usable_cpus(group) for group in fitting)
    ours = partition.usable_cpus or partition.cpus
    if ours and usable < ours <= max(group.cpus for group in fitting):
        message = (
            f"a job may have {several(usable, 'CPU')} of a node (CPUEfctv), and the file "
            f"gives it {ours}: it waits for ever"
        )
        yield error(f"{at}.usable_cpus", message, f"set {usable}")
    if partition.memory:
        memory = max(answers.usable_memory_mb(group) for group in fitting)
        if megabytes(partition.memory) > memory:
            message = f"no node there gives jobs more than {memory_text(memory)} (RealMemory less MemSpecLimit)"
            yield error(f"{at}.memory", message, f"set {memory_text(memory)}")


def _names(site: Site, answers: ClusterAnswers) -> Iterator[SiteFinding]:
    """Partitions and QOS that defaults name."""
    known, qos = [rules.name for rules in answers.partitions], [each.name for each in answers.qos]
    for key, name in () if site.partitions else named_partitions(site):
        if name not in known:
            yield error(key, f"Slurm has no partition {name}", hint(name, known))
    given_qos = {"collect.qos": site.collect.qos, "resources.sbatch.qos": site.resources.sbatch.get("qos")}
    for key, value in given_qos.items():
        if value and qos and str(value) not in qos:
            yield error(key, f"there is no QOS {value}", hint(str(value), qos))
