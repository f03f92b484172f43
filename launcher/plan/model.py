"""The plan: a spec resolved and frozen, exactly what is rendered, submitted and run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field

from curator_slurm.launcher.spec.container_section import Runtime
from curator_slurm.launcher.spec.environment_section import Stage
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.node_sections import BY_NEED, ResourcesSpec
from curator_slurm.launcher.spec.value_types import Section

if TYPE_CHECKING:
    from curator_slurm.launcher.site.habits import SlurmHabits
    from curator_slurm.launcher.site.model import Site


class _PlanDumper(yaml.SafeDumper):
    """Writes every text so that it is read back unchanged."""


def _represent_text(dumper: _PlanDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds plain text at U+0085 and its like, and reads a blank there.
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_PlanDumper.add_representer(str, _represent_text)


class _PlanLoader(yaml.SafeLoader):
    """Reads what _PlanDumper writes, which has no aliases: nested ones would fill the memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "plans have no aliases", None)
        return super().compose_node(parent, index)


class Cluster(StrEnum):
    """Where a plan runs."""

    SLURM = "slurm"
    LOCAL = "local"


class LockNote(Section):
    """A key that a site file has locked, where that is, and whom to ask."""

    key: str
    where: str
    contact: str = ""


class SiteTemplate(Section):
    """A template of the site, which replaces blocks of ours; `originals` are these, as it was written for them."""

    name: str
    path: str
    text: str
    originals: dict[str, str] = Field(default={})


class ContainerStart(Section):
    """How a runtime starts the container: options of srun, or the words before what runs inside.

    Variables of Slurm's in the words, as `${SLURM_JOB_ID}`, are those on the node.
    """

    runtime: Runtime
    program: str | None = Field(default=None, description="what a node has if it has the runtime; None: a part of srun")
    words: list[str]
    on_srun: bool = False
    unset: list[str] = Field(default=[], description="variables that would change what it does")
    scratch: bool = Field(default=False, description="whether it needs a folder on the node")


@dataclass(frozen=True)
class JobPart:
    """What is asked of Slurm for one component of a job, and how."""

    group: int | None
    """Which of `resources.groups` it is, as the spec counts them; None: there are none."""
    resources: ResourcesSpec
    place: str | None
    """The partition of the site files whose habits and limits count."""
    habits: SlurmHabits

    def key(self, name: str) -> str:
        """A setting of `resources`, as this component has it; the time limit is that of all."""
        own = name.startswith("resources.") and name != "resources.time" and self.group is not None
        return f"resources.groups.{self.group}.{name.removeprefix('resources.')}" if own else name


class Plan(Section):
    """Everything that the script, the node agents and the driver need to know; the same for every run of it.

    It holds no run id and no secret: two submissions of one spec have equal plans.
    """

    schema_version: int = 1
    version: str = Field(description="curator-slurm that froze it")
    cluster: Cluster
    spec: Spec = Field(description="with every default filled in and every path absolute")
    spec_dir: str = Field(description="folder of the spec; on the module path of driver and workers")
    python: str | None = Field(description="interpreter on the nodes; None: `python` of environment.conda")
    slurm_bin: str | None = Field(default=None, description="folder of Slurm's commands; None: where PATH has them")
    origins: dict[str, str] = Field(default={}, description="dotted key -> who set it: file:line, --set, default")
    site: dict[str, Any] | None = Field(
        default=None, description="what site files say beside the spec's own settings; None: there are none"
    )
    locks: list[LockNote] = Field(default=[], description="keys that site files have locked")
    placed: list[str] = Field(default=[], description="partitions of the site files that it goes to")
    placed_groups: dict[str, list[str]] = Field(default={}, description="the same for each group of `resources.groups`")
    explain: list[str] = Field(default=[], description="why `resources` are what they are")
    templates: list[SiteTemplate] = Field(default=[], description="templates of the site over ours")
    containers: list[ContainerStart] = Field(
        default=[], description="what starts the container: the first that a node has; empty: there is none"
    )
    container_env: dict[str, str] = Field(default={}, description="variables for the runtime")

    @property
    def habits(self) -> SlurmHabits:
        """How the site wants sbatch to be called, in the partition that this goes to."""
        return self._habits_in(self.placed[0] if self.placed else None)

    def _habits_in(self, place: str | None) -> SlurmHabits:
        from curator_slurm.launcher.site.habits import SlurmHabits

        if place is None:
            return SlurmHabits.model_validate((self.site or {}).get("slurm", {}))
        return self.site_in(place).slurm

    @property
    def components(self) -> list[int]:
        """Which of `resources.groups` each component of the job is: the head's first, for its first node is the job's.

        The groups themselves stay as the spec has them, so that a number in a message or in `--set` means the same one.
        """
        names = [group.name for group in self.spec.resources.groups]
        first = [names.index(name) for name in [self.spec.head_group] if name is not None]
        return [*first, *(index for index in range(len(names)) if index not in first)]

    def parts(self) -> list[JobPart]:
        """The components of the job, in their order: several where `resources` has groups."""
        groups = self.spec.resources.groups
        if not groups:
            return [JobPart(None, self.spec.resources, self.placed[0] if self.placed else None, self.habits)]
        places, parts = [self.place_of(group.name) for group in groups], self.spec.resources.parts
        return [
            JobPart(index, parts[index], places[index], self._habits_in(places[index])) for index in self.components
        ]

    def place_of(self, group: str | None) -> str | None:
        """The partition of the site files whose facts count for the nodes of a group, or of a run without groups."""
        places = self.placed if group is None else self.placed_groups.get(group, ())
        return next(iter(places), None)

    def at_site(self) -> Site:
        """What site files say of the cluster, as it holds in the partition; all defaults where there are none."""
        return self.site_in(self.placed[0] if self.placed else None)

    def site_in(self, place: str | None) -> Site:
        """The same in a partition of the site files, or outside of any."""
        from curator_slurm.launcher.site.model import Site

        site = Site.model_validate(self.site or {})
        return site if place is None else site.in_partition(place)

    @property
    def is_staged(self) -> bool:
        """Whether nodes get copies of the software, or of folders; this machine alone has everything already."""
        return self.cluster is Cluster.SLURM and self.spec.environment.stage is Stage.NODE_LOCAL

    @property
    def array(self) -> bool:
        """Whether it is submitted as job arrays: the spec has `shards`."""
        return self.spec.shards is not None

    def to_yaml(self) -> str:
        """The text of plan.yaml."""
        data = self.model_dump(mode="json", by_alias=True)
        if self.site is None:
            del data["site"], data["locks"], data["placed"], data["explain"]
        if not self.templates:
            del data["templates"]
        if not self.placed_groups:
            del data["placed_groups"]
        if not self.containers:
            del data["containers"], data["container_env"], data["spec"]["environment"]["container"]
        if not self.is_staged:
            for key in ("stage", "stage_paths", "stage_size", "stage_days"):
                del data["spec"]["environment"][key]
        resources = data["spec"]["resources"]
        for asked in (resources, *resources["groups"]):
            for key in BY_NEED:  # answered, or not there
                del asked[key]
        return yaml.dump(data, Dumper=_PlanDumper, sort_keys=False, allow_unicode=True, width=110)

    @classmethod
    def from_yaml(cls, text: str) -> Plan:
        """The plan in the text of a plan.yaml; raises ValueError where it is none."""
        try:
            return cls.model_validate(yaml.load(text, _PlanLoader))
        except yaml.YAMLError as error:
            raise ValueError(f"it is not the YAML of a plan: {error}") from error
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
