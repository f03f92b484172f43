"""Which nodes of a run do what, in words, where they do not all do the same. Pure."""

from __future__ import annotations

from curator_slurm.launcher.plan.model import Cluster, Plan


def layout_lines(plan: Plan) -> list[str]:
    """What `plan` says of the nodes; nothing where all of them take tasks."""
    spec = plan.spec
    if plan.cluster is Cluster.LOCAL or not spec.has_own_head:
        return []
    others = spec.resources.nodes - 1
    return [
        f"head: the first of {spec.resources.nodes} nodes has the driver and takes no tasks, {others} "
        f"{'takes' if others == 1 else 'take'} them ({_origin(plan)})"
    ]


def _origin(plan: Plan) -> str:
    known = plan.origins.get("cluster.head", "default")
    return "cluster.head" if known == "default" else f"{known} (cluster.head)"
