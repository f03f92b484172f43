"""A partition as a place for a run, and what a job asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curator_slurm.launcher.site.cluster_facts import GpuTypeSpec, PartitionSpec, Sharing
from curator_slurm.launcher.site.habits import ExclusiveUse
from curator_slurm.launcher.site.model import Site
from curator_slurm.launcher.spec.slurm_memory import megabytes


@dataclass(frozen=True)
class TooLittle:
    """The setting that asks for too much, words, and settings of `resources` with which it would not."""

    key: str
    words: str
    fix: Mapping[str, Any] = field(default_factory=dict)
    final: bool = False
    """Whether nothing could make the partition hold such a run."""


@dataclass
class JobFit:
    """What a job asks of each of its nodes in one partition, what that is derived from, and what is missing there."""

    name: str
    nodes: int = 1
    heads: int = 0
    gpus: int = 0
    cpus: int | None = None
    memory_mb: int | None = None
    time: str | None = None
    because: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    shortfalls: list[TooLittle] = field(default_factory=list)

    @property
    def working(self) -> int:
        """Nodes that take tasks."""
        return max(self.nodes - self.heads, 1)

    def short(self, key: str, words: str, **fix: Any) -> None:
        """Note that the partition has too little of something, and the settings that it could hold."""
        self.shortfalls.append(TooLittle(f"resources.{key}", words, fix))

    def note(self, key: str, value: Any, *causes: str, words: str = "") -> None:
        """Note why a setting has its value."""
        self.because[f"resources.{key}"] = tuple(cause for cause in causes if cause)
        why = words or ", ".join(self.because[f"resources.{key}"])
        self.lines.append(f"{key}: {value} ({why})" if why else f"{key}: {value}")


class JobPlace:
    """A partition as the site file has it, and names of its facts."""

    def __init__(self, site: Site, name: str) -> None:
        found = site.partition(name)
        assert found is not None
        self.site, self.name, self.part = site, name, found
        self.whole = found.sharing is Sharing.WHOLE or site.slurm.exclusive is ExclusiveUse.ALWAYS
        self.usable = found.usable_cpus or found.cpus
        self.memory = None if found.memory is None else megabytes(found.memory)
        self.mem_by = found.mem_by or site.slurm.mem

    @property
    def gpu(self) -> GpuTypeSpec:
        return self.site.gpu_types.get(self.part.gpu_type or "", GpuTypeSpec())

    @property
    def slurm_name(self) -> str:
        return self.part.slurm_name or self.name

    def has_type(self, wanted: str) -> bool:
        """Whether its GPUs are of the kind that a user names."""
        names = (self.part.gpu_type or "", self.gpu.gres_type or "", *self.gpu.names)
        return wanted.lower() in [name.lower() for name in names if name]

    def key(self, fact: str) -> str:
        """Where the site file says this about the partition."""
        own: PartitionSpec = self.site.partitions[self.name]
        return f"partitions.{self.name}.{fact}" if fact in own.model_fields_set else f"partition_defaults.{fact}"
