"""A plan put into partitions of its site: what it needs becomes what Slurm is asked for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curator_slurm.common.in_words import several
from curator_slurm.launcher.plan.in_groups import in_groups, of_part, origin_of
from curator_slurm.launcher.plan.model import Cluster, JobPart, Plan
from curator_slurm.launcher.site.needs import need_of
from curator_slurm.launcher.spec.node_sections import BY_NEED, ResourcesSpec
from curator_slurm.launcher.spec.spec_file import Reading

if TYPE_CHECKING:
    from curator_slurm.launcher.site.resolution import Refusal, Resolution

_UNANSWERED = {
    "gpus": "ask with `resources.nodes` and `resources.gpus_per_node`",
    "gpu_type": "ask with `resources.gpus_per_node: TYPE:4`",
    "cpus": "ask with `resources.nodes` and `resources.cpus_per_node`",
    "mem_per_cpu": "ask with `resources.mem_per_node`, or with `resources.sbatch.mem-per-cpu`",
}


def place(plan: Plan, reading: Reading) -> Plan:
    """The plan with the settings of Slurm that its site has for what the spec needs; what cannot run is noted."""
    if plan.cluster is Cluster.LOCAL:
        return _on_this_machine(plan)
    parts = plan.parts()
    if plan.site is None or not plan.site.get("partitions"):
        for part in parts:
            for name in part.resources.by_need:
                key = part.key(f"resources.{name}")
                why = "no site file here describes partitions (`partitions`), which it takes to know what that is"
                reading.add_at(key, f"`{key}`: {why}; {_UNANSWERED[name]}, or name the site: --site")
        return plan
    from curator_slurm.launcher.site.resolution import Refusal, Resolution

    found = [_resolution(plan, part, reading) for part in parts]
    if any(isinstance(each, Refusal) for each in found):
        return plan
    placed = [each for each in found if isinstance(each, Resolution)]
    least = plan.spec.cluster.min_nodes
    nodes = sum(
        each.values["nodes"] if isinstance(each, Resolution) else part.resources.nodes
        for each, part in zip(found, parts, strict=True)
    )
    if placed and least is not None and least > nodes:
        where = " and ".join(each.partitions[0] for each in placed)
        words = f"`cluster.min_nodes` is {least}, but what `resources` asks for is {several(nodes, 'node')} in {where}"
        reading.add_at("cluster.min_nodes", words)
        return plan
    if plan.spec.resources.groups:
        return in_groups(plan, [each if isinstance(each, Resolution) else None for each in found], nodes)
    return _in_partitions(plan, placed[0]) if placed else plan


def _resolution(plan: Plan, part: JobPart, reading: Reading) -> Resolution | Refusal | None:
    """Where one component goes; a refusal is noted."""
    from curator_slurm.launcher.site.resolution import Refusal, resolve_need

    heads = 1 if plan.spec.has_own_head and (part.group is None or part.group == plan.components[0]) else 0
    found = resolve_need(need_of(part.resources, heads), plan.at_site())
    if isinstance(found, Refusal):
        contact = plan.at_site().site.contact
        words = of_part(part, found.words)
        name = "" if part.group is None else f"group {plan.spec.resources.groups[part.group].name}: "
        reading.add_at(part.key(found.key), name + words + (f"; questions: {contact}" if contact else ""))
    return found


def _on_this_machine(plan: Plan) -> Plan:
    """What a spec needs is asked of nobody: this machine has what it has."""
    resources = plan.spec.resources
    if not resources.by_need:
        return plan
    gpus = str(resources.gpus) if resources.gpus and not resources.gpus_per_node else resources.gpus_per_node
    return _with_resources(plan, resources.model_copy(update={**dict.fromkeys(BY_NEED), "gpus_per_node": gpus}))


def _in_partitions(plan: Plan, found: Resolution) -> Plan:
    origins = dict(plan.origins)
    for key, causes in found.because.items():
        name = key.removeprefix("resources.")
        if name in found.values or name.startswith("sbatch."):
            origins[key] = ", ".join(origin_of(plan, cause) for cause in causes) or "default"
    resources = plan.spec.resources.model_copy(update=dict(found.values))
    placed = plan.model_copy(
        update={"placed": list(found.partitions), "explain": list(found.explain), "origins": origins}
    )
    return _with_resources(placed, resources)


def _with_resources(plan: Plan, resources: ResourcesSpec) -> Plan:
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"resources": resources})})
