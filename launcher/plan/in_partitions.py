"""A plan put into partitions of its site: what it needs becomes what Slurm is asked for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.site.needs import need_of
from curator_slurm.launcher.spec.node_sections import BY_NEED, ResourcesSpec
from curator_slurm.launcher.spec.spec_file import Reading

if TYPE_CHECKING:
    from curator_slurm.launcher.site.resolution import Resolution

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
    if plan.site is None or not plan.site.get("partitions"):
        for key in plan.spec.resources.by_need:
            why = "no site file here describes partitions (`partitions`), which it takes to know what that is"
            reading.add_at(
                f"resources.{key}", f"`resources.{key}`: {why}; {_UNANSWERED[key]}, or name the site: --site"
            )
        return plan
    from curator_slurm.launcher.site.resolution import Refusal, resolve_need

    heads = 1 if plan.spec.has_own_head else 0
    found = resolve_need(need_of(plan.spec.resources, heads), plan.at_site())
    if isinstance(found, Refusal):
        contact = plan.at_site().site.contact
        reading.add_at(found.key, found.words + (f"; questions: {contact}" if contact else ""))
        return plan
    if found is None:
        return plan
    least, nodes = plan.spec.cluster.min_nodes, found.values["nodes"]
    if least is not None and least > nodes:
        words = (
            f"`cluster.min_nodes` is {least}, but what `resources` asks for is {nodes} node(s) in {found.partitions[0]}"
        )
        reading.add_at("cluster.min_nodes", words)
        return plan
    return _in_partitions(plan, found)


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
            origins[key] = ", ".join(_origin(plan, cause) for cause in causes) or "default"
    resources = plan.spec.resources.model_copy(update=dict(found.values))
    placed = plan.model_copy(
        update={"placed": list(found.partitions), "explain": list(found.explain), "origins": origins}
    )
    return _with_resources(placed, resources)


def _with_resources(plan: Plan, resources: ResourcesSpec) -> Plan:
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"resources": resources})})


def _origin(plan: Plan, cause: str) -> str:
    """The file and line of a setting or of a fact, or of what is in it, and its name."""
    known = plan.origins.get(cause)
    if known is None:
        inside = [key for key in plan.origins if key.startswith(f"{cause}.")]
        known = plan.origins[inside[0]] if inside else None
    return f"{known} ({cause})" if known not in (None, "default") else cause
