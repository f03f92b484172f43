"""The node-local folder of a plan: which one it is, and what its site says of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator_slurm.common.sizes import parse_size
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.spec.locations import absolute
from curator_slurm.launcher.spec.slurm_memory import megabytes

ON_NODES = re.compile(r"\$\{(SLURM_[A-Z0-9_]+)\}")
"""Variables of a job in the folder's path, which the agents replace."""

_SMALLEST, _LARGEST, _SHARE = 256 << 20, 4 << 30, 16
"""Memory that is kept for a folder in memory of which nobody has said how much a job puts there."""


@dataclass(frozen=True)
class LocalDisk:
    """What is known of the folder; `size` in bytes, None where nobody has said it."""

    is_memory: bool = False
    size: int | None = None

    def memory(self, of: int) -> int:
        """Bytes of a node's memory that are for the folder's files, and not for Ray."""
        if not self.is_memory:
            return 0
        return max(_SMALLEST, min(of // _SHARE, _LARGEST)) if self.size is None else self.size


def local_disk(plan: Plan) -> LocalDisk:
    """What the site says of the plan's folder; nothing where a spec has named another, or on this machine alone."""
    if plan.site is None or plan.cluster is Cluster.LOCAL:
        return LocalDisk()
    site = plan.at_site()
    part = site.partition(plan.placed[0]) if plan.placed else None
    for facts in (part.node_local if part is not None else None, site.storage.node_local):
        if facts is not None and facts.path is not None and facts.path == (plan.spec.storage.node_local or "/tmp"):
            return LocalDisk(facts.is_memory, parse_size(facts.size) if facts.size else None)
    return LocalDisk()


def with_local_disk(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """The plan with the folder of its partition, where nobody has named another, and with what its site says of folders
    under the paths that they have here."""
    if plan.site is None:
        return plan
    plan = plan.model_copy(update={"site": _absolute_paths(plan, environ)})
    return _of_partition(plan) if plan.placed else plan


def too_small(plan: Plan) -> tuple[str, str] | None:
    """(key, message) where the folder is memory, and takes all that a job asks for."""
    asked = plan.spec.resources.mem_per_node
    disk = local_disk(plan)
    if asked is None or megabytes(asked) == 0 or disk.size is None or not disk.is_memory:
        return None
    if disk.size < megabytes(asked) << 20:
        return None
    rule = "storage.node_local.size"
    return (
        "resources.mem_per_node",
        f"`resources.mem_per_node` is {asked}, and all of it is kept for {plan.spec.storage.node_local or '/tmp'}, "
        f"which is memory here ({rule} in {plan.origins.get(rule, 'a site file')}); ask for more",
    )


def _absolute_paths(plan: Plan, environ: Mapping[str, str]) -> dict[str, Any]:
    """What the site says, with absolute paths of folders; one that cannot be resolved stays, and fits no plan."""
    site = dict(plan.site or {})
    for section in ("storage", "partition_defaults"):
        if section in site:
            site[section] = _with_absolute_path(site[section], plan, environ)
    if site.get("partitions"):
        site["partitions"] = {
            name: _with_absolute_path(part, plan, environ) for name, part in site["partitions"].items()
        }
    return site


def _with_absolute_path(section: Mapping[str, Any], plan: Plan, environ: Mapping[str, str]) -> dict[str, Any]:
    disk = section.get("node_local")
    if not disk or not disk.get("path"):
        return dict(section)
    try:
        path = absolute(disk["path"], Path(plan.spec_dir), environ, on_nodes=ON_NODES)
    except ValueError:
        return dict(section)
    return {**section, "node_local": {**disk, "path": path}}


def _of_partition(plan: Plan) -> Plan:
    site = plan.at_site()
    part = site.partition(plan.placed[0])
    disk = part.node_local if part is not None else None
    if disk is None or disk.path is None or plan.origins.get("storage.node_local") != "default":
        return plan
    own = "node_local" in site.partitions[plan.placed[0]].model_fields_set
    cause = f"partitions.{plan.placed[0]}.node_local" if own else "partition_defaults.node_local"
    where = plan.origins.get(cause) or plan.origins.get(f"{cause}.path")
    origins = {**plan.origins, "storage.node_local": f"{where} ({cause})" if where else cause}
    storage = plan.spec.storage.model_copy(update={"node_local": disk.path})
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"storage": storage}), "origins": origins})
