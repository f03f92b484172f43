"""What a spec asks for, in numbers: of the whole job, or of each node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from curator_slurm.launcher.spec.node_sections import ResourcesSpec
from curator_slurm.launcher.spec.slurm_memory import megabytes
from curator_slurm.launcher.spec.slurm_time import seconds


@dataclass(frozen=True, kw_only=True)
class JobNeed:
    """What is asked for; None is what is left to the site."""

    heads: int = 0
    """Nodes that take no tasks (`cluster.head: dedicated`), beside those that the GPUs and CPUs of the job are on."""
    nodes: int | None = None
    gpus: int | None = None
    gpu_type: str | None = None
    gpus_per_node: int | None = None
    cpus: int | None = None
    cpus_per_node: int | None = None
    mem_per_cpu: int | None = None
    mem_per_node: int | None = None
    time: str | None = None
    partitions: tuple[str, ...] = ()
    account: str | None = None
    sbatch: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wants_gpus(self) -> bool:
        """Whether it names GPUs in any way."""
        return bool(self.gpus or self.gpus_per_node or (self.gpu_type and self.gpus is None))

    @property
    def own_gpus(self) -> bool:
        """Whether an option of the spec's own asks Slurm for GPUs; then nothing else may."""
        return any("gpu" in str(self.sbatch.get(option, "")) for option in ("gres", "tres-per-task", "tres-per-job"))

    def changed(self, settings: Mapping[str, Any]) -> JobNeed:
        """It, with settings of `resources` instead of its own."""
        fields: dict[str, Any] = {}
        for name, value in settings.items():
            if name == "partition":
                fields["partitions"] = (value,)
            elif name.startswith("mem_"):
                fields[name] = megabytes(value)
            else:
                fields[name] = value
        return replace(self, **fields)

    def distance(self, changed: JobNeed) -> float:
        """How far another need is from this one: below 1 for each amount, 1 for another partition or type of GPU."""
        asked, given = self._amounts(), changed._amounts()
        amounts = [sorted((asked[name], given[name])) for name in asked.keys() & given.keys()]
        others = (self.partitions != changed.partitions) + (self.gpu_type != changed.gpu_type)
        return others + sum(1 - less / more for less, more in amounts)

    def _amounts(self) -> dict[str, int]:
        found = {name: getattr(self, name) for name in _AMOUNTS} | {"time": seconds(self.time) if self.time else None}
        return {name: value for name, value in found.items() if value}


_AMOUNTS = ("nodes", "gpus", "gpus_per_node", "cpus", "cpus_per_node", "mem_per_cpu", "mem_per_node")


def need_of(resources: ResourcesSpec, heads: int = 0) -> JobNeed:
    """What a spec asks for; the defaults of the spec's classes ask for nothing."""
    kind, _, count = (resources.gpus_per_node or "").rpartition(":")
    options = {key: value for key, value in resources.sbatch.items() if value not in (None, False)}
    return JobNeed(
        heads=heads,
        nodes=resources.nodes if "nodes" in resources.model_fields_set else None,
        gpus=resources.gpus,
        gpu_type=resources.gpu_type or kind or None,
        gpus_per_node=int(count) if count else None,
        cpus=resources.cpus,
        cpus_per_node=resources.cpus_per_node,
        mem_per_cpu=None if resources.mem_per_cpu is None else megabytes(resources.mem_per_cpu),
        mem_per_node=None if resources.mem_per_node is None else megabytes(resources.mem_per_node),
        time=resources.time,
        partitions=tuple(name.strip() for name in (resources.partition or "").split(",") if name.strip()),
        account=resources.account,
        sbatch=options,
    )
