"""The sections of a spec about the nodes of a run: what Slurm is asked for, and the Ray cluster on them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from curator_slurm.common.in_words import several
from curator_slurm.launcher.spec import sbatch_options
from curator_slurm.launcher.spec.value_types import (
    Gpus,
    GroupName,
    Line,
    Memory,
    Number,
    Path,
    Section,
    Time,
    Whole,
    problem,
)

BY_NEED = ("gpus", "gpu_type", "cpus", "mem_per_cpu")
"""Settings of `resources` that say what a run needs and leave to the site how Slurm is asked for it."""


class NodesSpec(Section):
    """What is asked of Slurm for some nodes."""

    nodes: Whole = Field(default=1, ge=1, description="number of nodes")
    gpus: Whole | None = Field(
        default=None, ge=0, description="GPUs of the whole job; the site's partitions tell how many nodes that are"
    )
    gpu_type: Line | None = Field(default=None, description="kind of GPU, by a name that the site knows, such as h100")
    gpus_per_node: Gpus | None = Field(default=None, description="GPUs on each node: 4, or with a type a100:4")
    cpus: Whole | None = Field(
        default=None, ge=1, description="CPUs of the whole job; the site's partitions tell how many nodes that are"
    )
    cpus_per_node: Whole | None = Field(default=None, ge=1, description="CPUs on each node; default: the cluster's")
    mem_per_node: Memory | None = Field(default=None, description="memory on each node, such as 480G")
    mem_per_cpu: Memory | None = Field(
        default=None, description="memory for each CPU, such as 4G, where the site's partitions are known"
    )
    partition: Line | None = Field(default=None, description="default: the cluster's default partition")
    account: Line | None = Field(default=None, description="default: your default account")
    sbatch: dict[str, Any] = Field(
        default={}, description="any other option of sbatch, such as constraint: h100; true for a flag without a value"
    )

    @property
    def by_need(self) -> list[str]:
        """Settings that only a site's description of its partitions can answer."""
        return [key for key in BY_NEED if getattr(self, key) is not None]

    @property
    def wants_gpus(self) -> bool:
        """Whether it names GPUs in any way."""
        return bool(self.gpu_count or self.gpus or self.gpu_type)

    @property
    def gpu_count(self) -> int:
        """GPUs on each node, 0 where none are asked for here."""
        return int(self.gpus_per_node.rsplit(":", 1)[-1]) if self.gpus_per_node else 0


class GroupSpec(NodesSpec):
    """Nodes of one kind in a run of several: what it does not say, `resources` says for all groups."""

    name: GroupName = Field(description="by which stages name it (`resources.group`), and Ray's label of its nodes")

    @model_validator(mode="after")
    def _memory_in_one_way(self) -> GroupSpec:
        if len(given := _memory_keys(self)) > 1:
            raise problem(
                f"group {self.name}: {' and '.join(given)} ask for memory in different ways; keep one of them"
            )
        return self


class ResourcesSpec(NodesSpec):
    """Resources to request from Slurm."""

    time: Time | None = Field(
        default=None, description="time limit: minutes, hours:minutes:seconds, or days-hours:minutes:seconds"
    )
    check_limits: bool = Field(
        default=True,
        description="refuse a job that is too large for its partition by `sinfo`; false where your default QOS lifts "
        "such a limit: then it is a note",
    )
    groups: list[GroupSpec] = Field(
        default=[],
        description="nodes of several kinds as one heterogeneous job with one Ray cluster, each with a `name` and the "
        "settings of its nodes",
    )

    @model_validator(mode="after")
    def _memory_in_one_way(self) -> ResourcesSpec:
        others = {
            name: key
            for key, value in self.sbatch.items()
            if value not in (None, False) and (name := sbatch_options.long_name(key)) in ("mem-per-cpu", "mem-per-gpu")
        }
        keys = [f"resources.sbatch.{key}" for key in others.values()]
        if self.mem_per_node is not None and (keys or self.mem_per_cpu is not None):
            keys.append("resources.mem_per_node")
        if self.mem_per_cpu is not None and keys:
            keys.append("resources.mem_per_cpu")
        if len(keys) > 1:
            raise problem(
                f"{' and '.join(f'`{key}`' for key in keys)} ask for memory in different ways, and Slurm takes one; "
                "keep one of them",
                *keys,
            )
        return self

    @model_validator(mode="after")
    def _counts_agree(self) -> ResourcesSpec:
        if "nodes" not in self.model_fields_set:
            return self
        each = (
            ("gpus", self.gpus, self.gpu_count if self.gpus_per_node else None),
            ("cpus", self.cpus, self.cpus_per_node),
        )
        for key, total, on_node in each:
            if total is not None and on_node is not None and total != self.nodes * on_node:
                raise problem(
                    f"`resources.{key}` is {total}, but {several(self.nodes, 'node')} with {on_node} each have "
                    f"{self.nodes * on_node}; leave one of the three out",
                    f"resources.{key}",
                    "resources.nodes",
                    f"resources.{key}_per_node",
                )
        return self

    @model_validator(mode="after")
    def _groups_fit(self) -> ResourcesSpec:
        if not self.groups:
            return self
        names = [group.name for group in self.groups]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise problem(f"`resources.groups` has two groups of the name {twice}", "resources.groups")
        for key in ("gpus", "gpu_type", "gpus_per_node", "cpus"):
            if getattr(self, key) is not None:
                raise problem(
                    f"`resources.{key}` beside `resources.groups`: say in which group it is to be", f"resources.{key}"
                )
        count = sum(group.nodes for group in self.groups)
        by_need = any(group.gpus or group.cpus for group in self.groups)
        if "nodes" in self.model_fields_set and self.nodes != count and not by_need:
            raise problem(
                f"`resources.nodes` is {self.nodes}, but the groups have {several(count, 'node')} "
                f"together; leave it out",
                "resources.nodes",
                "resources.groups",
            )
        return self

    @property
    def node_count(self) -> int:
        """Of the whole run, as far as it is said."""
        return sum(group.nodes for group in self.groups) or self.nodes

    @property
    def parts(self) -> list[ResourcesSpec]:
        """What is asked for, for each component of the job: all of it, or a group with what holds for all of them."""
        return [self._part(group) for group in self.groups] or [self]

    def _part(self, group: GroupSpec) -> ResourcesSpec:
        own_memory = bool(_memory_keys(group))
        shared = [
            "cpus_per_node",
            "partition",
            "account",
            "time",
            *([] if own_memory else ["mem_per_node", "mem_per_cpu"]),
        ]
        asked = [(self, shared), (group, [key for key in NodesSpec.model_fields if key not in ("nodes", "sbatch")])]
        values = {key: value for nodes, keys in asked for key in keys if (value := getattr(nodes, key)) is not None}
        if "nodes" in group.model_fields_set:  # else the site may say how many
            values["nodes"] = group.nodes
        options = {**self.sbatch, **group.sbatch}
        if own_memory:
            options = {key: value for key, value in options.items() if key in group.sbatch or not _asks_memory(key)}
        return ResourcesSpec.model_validate({**values, "check_limits": self.check_limits, "sbatch": options})


def _memory_keys(nodes: NodesSpec) -> list[str]:
    """The settings that ask for memory."""
    keys = [key for key in ("mem_per_node", "mem_per_cpu") if getattr(nodes, key) is not None]
    return keys + [f"sbatch.{key}" for key, value in nodes.sbatch.items() if value and _asks_memory(key)]


def _asks_memory(option: str) -> bool:
    return sbatch_options.long_name(option) in ("mem-per-cpu", "mem-per-gpu")


class HeadUse(StrEnum):
    """Whether Ray's head node takes tasks."""

    SHARED = "shared"
    DEDICATED = "dedicated"


class ClusterSpec(Section):
    """The Ray cluster inside the allocation."""

    head: HeadUse = Field(
        default=HeadUse.SHARED,
        description="shared: Ray's head node takes tasks as all others do; dedicated: it has the driver and Ray's "
        "services, and takes none",
    )
    head_group: GroupName | None = Field(
        default=None,
        description="the group of `resources.groups` with the head and the driver; default: the first without GPUs",
    )
    min_nodes: Whole | None = Field(
        default=None, ge=1, description="start once this many nodes have joined; default: all"
    )
    join_timeout_s: Number = Field(default=300, gt=0, description="seconds that the head waits for the other nodes")
    joins_per_second: Number = Field(
        default=100, gt=0, description="nodes after the first 64 that start their Ray in a second"
    )
    heartbeat_timeout_s: Number = Field(
        default=100, ge=10, description="seconds without a heartbeat after which the head node counts as lost"
    )
    object_store_fraction: Number = Field(
        default=0.3, gt=0, lt=1, description="share of each node's memory for Ray's object store"
    )
    tls: bool | None = Field(
        default=None,
        description="encrypt Ray's traffic, with certificates made for the run, so that strangers cannot say a word to "
        "its servers; default: where the Python of the job has cryptography",
    )
    metrics: bool = Field(
        default=False, description="Ray's metrics for Prometheus, on ports that answer anybody in the network"
    )
    dashboard: bool | None = Field(
        default=None,
        description="true: Ray's dashboard, its job API and Ray Client on the head; default: the server of Ray's state "
        "API alone, and only for a command and for the resource monitor of XennaExecutor",
    )
    ray: bool = Field(default=True, description="false: do not start Ray, for a pipeline.command that does not need it")
    measure: bool = Field(
        default=True,
        description="false: measure neither nodes nor stages; `report` has no pictures over time then",
    )
    openmetrics: Path | None = Field(
        default=None,
        description="folder on the head node for a copy of its figures as OpenMetrics text, readable by all, such as "
        "that of node-exporter's textfile collector; gone when the job has ended",
    )
    check_gpus: bool = Field(
        default=True,
        description="false: start on nodes whose GPUs are missing, sick or without answer (nvidia-smi, rocm-smi), too",
    )
