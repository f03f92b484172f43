"""The node-local folder of a plan: which one it is, and what its site says of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
    """The folder, None for /tmp, and what is known of it; `size` in bytes, None where nobody has said it."""

    path: str | None = None
    is_memory: bool = False
    size: int | None = None

    def memory(self, of: int) -> int:
        """Bytes of a node's memory that are for the folder's files, and not for Ray."""
        if not self.is_memory:
            return 0
        return max(_SMALLEST, min(of // _SHARE, _LARGEST)) if self.size is None else self.size


def local_disk(plan: Plan, group: str | None = None) -> LocalDisk:
    """The folder of a plan's nodes, or of those of one group, and what the site says of it: nothing where a spec has
    named another, or on this machine alone."""
    path = plan.spec.storage.node_local
    if plan.site is None or plan.cluster is Cluster.LOCAL:
        return LocalDisk(path)
    site, place = plan.at_site(), plan.place_of(group)
    part = site.partition(place) if place is not None else None
    of_partition = part.node_local if part is not None else None
    if group is not None and of_partition is not None and of_partition.path is not None and _is_free(plan):
        path = of_partition.path
    for facts in (of_partition, site.storage.node_local):
        if facts is not None and facts.path is not None and facts.path == (path or "/tmp"):
            return LocalDisk(path, facts.is_memory, parse_size(facts.size) if facts.size else None)
    return LocalDisk(path)


def _is_free(plan: Plan) -> bool:
    """Whether no spec has named a folder, so that the partition's counts: over that of `storage` in site files."""
    origin, of_site = (plan.origins.get(key, "") for key in ("storage.node_local", "storage.node_local.path"))
    return origin == "default" or origin.rpartition(":")[0] == of_site.rpartition(":")[0] != ""


def with_local_disk(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """The plan with the folder of its partition, where no spec has named another, and with what its site says of
    folders under the paths that they have here."""
    if plan.site is None:
        return plan
    plan = plan.model_copy(update={"site": _absolute_paths(plan, environ)})
    return _of_partition(plan) if plan.placed else plan


def too_small(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, message) where the folder is memory, and takes all that a job, or a group of it, asks for."""
    for part in plan.parts():
        asked = part.resources.mem_per_node
        disk = local_disk(plan, None if part.group is None else plan.spec.resources.groups[part.group].name)
        if asked is None or megabytes(asked) == 0 or disk.size is None or not disk.is_memory:
            continue
        if disk.size >= megabytes(asked) << 20:
            key, rule = part.key("resources.mem_per_node"), "storage.node_local.size"
            yield (
                key,
                f"`{key}` is {asked}, and all of it is kept for {disk.path or '/tmp'}, "
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
    if disk is None or disk.path is None or not _is_free(plan):
        return plan
    own = "node_local" in site.partitions[plan.placed[0]].model_fields_set
    cause = f"partitions.{plan.placed[0]}.node_local" if own else "partition_defaults.node_local"
    where = plan.origins.get(cause) or plan.origins.get(f"{cause}.path")
    origins = {**plan.origins, "storage.node_local": f"{where} ({cause})" if where else cause}
    storage = plan.spec.storage.model_copy(update={"node_local": disk.path})
    return plan.model_copy(update={"spec": plan.spec.model_copy(update={"storage": storage}), "origins": origins})
