"""A site file: one frozen class per section, as of the spec.

Sections that the spec has, too (`resources`, `environment`, ...), are defaults of specs; `network` and `storage` have
facts beside them. The others are of site files alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from curator_slurm.launcher.site.cluster_facts import (
    ContainerFacts,
    GpuTypeSpec,
    NetworkFacts,
    PartitionSpec,
    StorageFacts,
)
from curator_slurm.launcher.site.habits import CollectHabits, SlurmHabits
from curator_slurm.launcher.site.limits import LimitsSpec
from curator_slurm.launcher.spec.environment_section import EnvironmentSpec
from curator_slurm.launcher.spec.model import ExecutorSpec, FailuresSpec, Spec
from curator_slurm.launcher.spec.node_sections import ClusterSpec, ResourcesSpec
from curator_slurm.launcher.spec.notify_section import NotifySpec
from curator_slurm.launcher.spec.report_section import ReportSpec
from curator_slurm.launcher.spec.restart_section import RestartSection, RestartSpec
from curator_slurm.launcher.spec.value_types import Line, LineList, Path, Section, Whole


class SourceNote(Section):
    """Where a catalogue entry has its facts from."""

    url: Line = Field(description="the page, or repository and file")
    date: Line | None = Field(default=None, description="when it was read, 2026-11-28")
    about: Line | None = Field(default=None, description="what was taken from it")


class SiteIdentity(Section):
    """Which cluster this is, and who answers questions about it."""

    name: Line | None = Field(default=None, description="name of the cluster or site")
    about: Line | None = Field(default=None, description="what it is, in one sentence")
    contact: Line | None = Field(
        default=None, description="who helps users: a mail address or a page; messages name it"
    )
    docs: Line | None = Field(default=None, description="the site's own page for users")
    cluster_names: LineList = Field(default=[], description="ClusterName in slurm.conf by which it is recognised")
    hosts: LineList = Field(default=[], description="host names by which it is recognised, such as uan*.lumi.csc.fi")
    assumed: LineList = Field(
        default=[], description="of a catalogue entry: which of `cluster_names` and `hosts` no source says"
    )
    sources: list[SourceNote] = Field(default=[], description="of a catalogue entry: where its facts are from")
    tried: bool = Field(
        default=True, description="whether it was tried on the machine; false: written from documentation"
    )


class ShardDefaults(Section):
    """Defaults for specs that have `shards`."""

    max_running: Whole | None = Field(default=None, ge=1, description="as in a spec")
    per_element: Whole | None = Field(default=None, ge=1, description="as in a spec")


class TemplatesSpec(Section):
    """Parts of the batch scripts that the site replaces."""

    folder: Path | None = Field(default=None, description="folder of templates that replace blocks of ours")


class Site(Section):
    """A whole site file, or what all layers say together."""

    site: SiteIdentity = SiteIdentity()
    extends: LineList = Field(
        default=[], description="catalogue entries by name, or other files by path, which this one builds on"
    )
    locked: LineList = Field(default=[], description="keys and sections that later layers and specs cannot change")
    slurm: SlurmHabits = SlurmHabits()
    collect: CollectHabits = CollectHabits()
    limits: LimitsSpec = LimitsSpec()
    partition_defaults: PartitionSpec = Field(
        default=PartitionSpec(), description="what holds for every partition that does not say it itself"
    )
    partitions: dict[Line, PartitionSpec] = Field(
        default={}, description="the partitions by name; of those that fit a run, the first is taken"
    )
    gpu_types: dict[Line, GpuTypeSpec] = Field(default={}, description="kinds of GPUs by the name that users give")
    network: NetworkFacts = NetworkFacts()
    storage: StorageFacts = StorageFacts()
    container: ContainerFacts = ContainerFacts()
    templates: TemplatesSpec = TemplatesSpec()
    resources: ResourcesSpec = ResourcesSpec()
    environment: EnvironmentSpec = EnvironmentSpec()
    executor: ExecutorSpec = ExecutorSpec()
    cluster: ClusterSpec = ClusterSpec()
    failures: FailuresSpec = FailuresSpec()
    report: ReportSpec = ReportSpec()
    restart: RestartSection = RestartSpec()
    notify: NotifySpec = NotifySpec()
    shards: ShardDefaults = ShardDefaults()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """(dotted key, message) of what does not fit together; a single layer may leave that to others."""
        for name, partition in [("", self.partition_defaults), *self.partitions.items()]:
            kind, key = partition.gpu_type, f"partitions.{name}.gpu_type" if name else "partition_defaults.gpu_type"
            if kind is not None and kind not in self.gpu_types:
                known = ", ".join(self.gpu_types) or "empty"
                yield key, f"`{key}` is {kind}, which is not in `gpu_types` ({known})"

    def partition(self, name: str) -> PartitionSpec | None:
        """A partition with what holds for all; None where the site says nothing of it."""
        own = self.partitions.get(name)
        if own is None:
            return None
        given: dict[str, Any] = {key: getattr(own, key) for key in own.model_fields_set}
        return self.partition_defaults.model_copy(update=given)

    def in_partition(self, name: str) -> Site:
        """The site as it holds for jobs in one partition: its habits, and the lower of the limits."""
        part = self.partition(name)
        if part is None:
            return self
        ways = {key: value for key, value in (("gpus", part.gpus_by), ("mem", part.mem_by)) if value is not None}
        return self.model_copy(
            update={
                "slurm": self.slurm.model_copy(update=ways),
                "limits": self.limits.stricter(part.limits),
            }
        )


WITHOUT_EFFECT: tuple[str, ...] = ()
"""Facts that a site file can state already, and that nothing acts on yet; `site show` and the reference say so."""
SPEC_SECTIONS = tuple(name for name in Site.model_fields if name in Spec.model_fields)
"""Sections that a site file shares with specs: what it says there are defaults of specs."""
