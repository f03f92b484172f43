"""Which nodes of a run do what, in words, where they do not all do the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from curator_slurm.common.in_words import several
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.spec.node_sections import ResourcesSpec


def layout_lines(plan: Plan) -> list[str]:
    """What `plan` says of the nodes; nothing where all of them are alike and take tasks."""
    return [] if plan.cluster is Cluster.LOCAL else [*_groups(plan), *_head(plan)]


def without_workers(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, message) of stages that are bound to a group whose only node is a head that takes no tasks."""
    groups = plan.spec.resources.groups
    if not groups or not plan.spec.has_own_head:
        return
    number = plan.components[0]
    name = groups[number].name
    for index, stage in enumerate(plan.spec.pipeline.stages or ()):
        if groups[number].nodes == 1 and stage.resources is not None and stage.resources.group == name:
            key = f"pipeline.stages.{index}.resources.group"
            yield (
                key,
                f"`{key}`: the only node of group {name} is the head, which takes no tasks (`cluster.head: "
                f"dedicated`); give the group one node more with `resources.groups.{number}.nodes`",
            )


def _groups(plan: Plan) -> Iterator[str]:
    groups, parts = plan.spec.resources.groups, plan.spec.resources.parts
    for number, index in enumerate(plan.components):
        head = " with the head and the driver," if not number and len(groups) > 1 else ""
        yield f"group {groups[index].name}:{head} {several(parts[index].nodes, 'node')}{_each(parts[index])}"


def _each(part: ResourcesSpec) -> str:
    asked = (
        (part.gpus_per_node, _gpus),
        (part.cpus_per_node, lambda count: several(count, "CPU")),
        (part.mem_per_node, str),
    )
    words = ", ".join(say(value) for value, say in asked if value is not None)
    where = f" in {part.partition}" if part.partition else ""
    return f"{where}{f', each with {words}' if words else ''}"


def _head(plan: Plan) -> Iterator[str]:
    if not plan.spec.has_own_head:
        return
    nodes = plan.spec.resources.nodes
    known = plan.origins.get("cluster.head", "default")
    origin = "cluster.head" if known == "default" else f"{known} (cluster.head)"
    yield (
        f"head: the first of {several(nodes, 'node')} has the driver and takes no tasks, {nodes - 1} "
        f"{'takes' if nodes == 2 else 'take'} them ({origin})"
    )


def _gpus(asked: object) -> str:
    """`4 GPUs`, `a100:1 GPU`."""
    return f"{asked} {'GPU' if str(asked).rpartition(':')[2] == '1' else 'GPUs'}"
