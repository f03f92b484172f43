"""The spec: what a user writes in YAML, as one frozen class per section.

`pipeline_section`, `data_sections`, `node_sections`, `environment_section` and the like hold the sections about the
pipeline, its data, the nodes and their software, this module the others and the checks across sections. The classes
hold and check values; `spec_file` reads the YAML, gives errors their line numbers and applies `--set`; `plan` resolves
and freezes. Units are in the field names or their descriptions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from curator_slurm.common.dashboard import Dashboard
from curator_slurm.launcher.spec.curator_arrays import CURATOR_ARRAYS, ENABLED
from curator_slurm.launcher.spec.data_sections import CollectMode, InputSpec, OutputSpec, ShardsSpec
from curator_slurm.launcher.spec.environment_section import EnvironmentSpec
from curator_slurm.launcher.spec.network_section import NetworkSpec
from curator_slurm.launcher.spec.node_sections import ClusterSpec, HeadUse, ResourcesSpec
from curator_slurm.launcher.spec.notify_section import NotifySpec
from curator_slurm.launcher.spec.pipeline_section import PipelineSpec
from curator_slurm.launcher.spec.report_section import ReportSpec
from curator_slurm.launcher.spec.restart_section import RestartSection, RestartSpec
from curator_slurm.launcher.spec.value_types import (
    Backend,
    BackendName,
    Name,
    Number,
    Path,
    Section,
    Whole,
    problem,
)


class ExecutorSpec(Section):
    """Which executor runs the pipeline, and its configuration."""

    backend: BackendName = Field(
        default=Backend.XENNA, description="which executor runs the stages, or module:Class of another one"
    )
    config: dict[str, Any] = Field(default={}, description="options of the executor, such as execution_mode")


class OnTaskError(StrEnum):
    """What a failed task does to the run."""

    FAIL = "fail"
    SKIP = "skip"


class FailuresSpec(Section):
    """What happens to tasks that fail."""

    on_task_error: OnTaskError | None = Field(
        default=None, description="fail ends the run, skip continues without the task; default: fail"
    )
    max_failed_tasks: Whole | None = Field(
        default=None,
        ge=0,
        description="with skip: the run fails after more than this many, in all attempts; default: any number",
    )
    task_retries: Whole | None = Field(
        default=None, ge=0, description="how often a failing task is retried; default: 0"
    )
    fail_if_empty: bool = Field(
        default=False, description="the run fails where it has kept nothing: all filtered, all failed, or no input"
    )
    task_timeout_s: Number | None = Field(
        default=None, gt=0, description="seconds after which a task is stopped and counts as failed; default: no limit"
    )

    @property
    def of_executor(self) -> dict[str, Any]:
        """What the executor is given."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"fail_if_empty"})


class StorageSpec(Section):
    """Where run directories and node-local files are kept."""

    runs: Path | None = Field(default=None, description="folder of all run directories, on shared storage")
    node_local: Path | None = Field(
        default=None,
        description="node-local folder for Ray's session, temporary files and spilling, such as "
        "/local/${SLURM_JOB_ID}; default: /tmp",
    )


class Spec(Section):
    """A whole spec."""

    name: Name = Field(description="name of the run, its folder and the Slurm job")
    pipeline: PipelineSpec
    executor: ExecutorSpec = ExecutorSpec()
    input: InputSpec | None = None
    shards: ShardsSpec | None = None
    resources: ResourcesSpec = ResourcesSpec()
    environment: EnvironmentSpec = EnvironmentSpec()
    cluster: ClusterSpec = ClusterSpec()
    failures: FailuresSpec = FailuresSpec()
    report: ReportSpec = ReportSpec()
    restart: RestartSection = RestartSpec()
    network: NetworkSpec = NetworkSpec()
    storage: StorageSpec = StorageSpec()
    output: OutputSpec = OutputSpec()
    notify: NotifySpec = NotifySpec()

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        min_nodes = self.cluster.min_nodes
        nodes = self.resources.node_count
        if min_nodes is not None and min_nodes > nodes and not self._nodes_by_need:
            raise problem(
                f"`cluster.min_nodes` is {min_nodes}, but `resources.nodes` is {nodes}",
                "cluster.min_nodes",
                "resources.nodes",
            )
        self._refuse_head_alone()
        if not self.cluster.ray and self.pipeline.command is None:
            raise problem(
                "`cluster.ray: false` needs `pipeline.command`: stages and entries run on Ray",
                "cluster.ray",
                "pipeline",
            )
        if self.cluster.tls and not self.cluster.ray:
            raise problem("`cluster.tls` encrypts Ray's traffic; `cluster.ray: false` starts no Ray", "cluster.tls")
        if self.cluster.ray:
            self._refuse_few_ports()
        if self.shards is not None and self.input is None:
            raise problem("`shards` requires `input`", "shards")
        if self.shards is not None:
            self._refuse_second_split()
        return self

    def _refuse_few_ports(self) -> None:
        for key, part in [
            ("resources", self.resources),
            *((f"resources.groups.{index}", group) for index, group in enumerate(self.resources.groups)),
        ]:
            self.network.refuse_few_ports(part.cpus_per_node or 1, f"{key}.cpus_per_node")

    @property
    def _nodes_by_need(self) -> bool:
        """Whether the site is to say how many nodes there are."""
        return any(part.gpus or part.cpus for part in (self.resources, *self.resources.groups))

    @model_validator(mode="after")
    def _groups_are_known(self) -> Spec:
        """Groups that stages and the head name; and no arrays of groups."""
        names = [group.name for group in self.resources.groups]
        if names and self.shards is not None:
            raise problem(
                "`resources.groups` is one heterogeneous job, and Slurm has no arrays of them; leave `shards` out, and "
                "one run processes all input, or write a run with `shards` for each partition, the second of which "
                "reads what the first has published",
                "shards",
                "resources.groups",
            )
        wanted = self.cluster.head_group
        if wanted is not None and wanted not in names:
            known = f"only {', '.join(names)}" if names else "and there are no groups"
            raise problem(
                f"`cluster.head_group`: {wanted} is not among `resources.groups`, {known}", "cluster.head_group"
            )
        for index, stage in enumerate(self.pipeline.stages or ()):
            asked = stage.resources.group if stage.resources is not None else None
            if asked is not None and asked not in names:
                key = f"pipeline.stages.{index}.resources.group"
                known = f"only {', '.join(names)}" if names else "and there are no groups"
                raise problem(f"`{key}`: {asked} is not among `resources.groups`, {known}", key)
        return self

    def _refuse_head_alone(self) -> None:
        """A dedicated head is one of the nodes, and somebody else must do the work."""
        if self.cluster.head is not HeadUse.DEDICATED:
            return
        if not self.cluster.ray:
            raise problem(
                "`cluster.head: dedicated` is about Ray's head, and `cluster.ray: false` starts no Ray; leave one out",
                "cluster.head",
                "cluster.ray",
            )
        if self.resources.node_count == 1 and not self._nodes_by_need:
            raise problem(
                "`cluster.head: dedicated` takes one node for the head, and `resources.nodes` is 1, so that none is "
                "left for tasks; set `resources.nodes` to one more than are to work, or `cluster.head: shared`",
                "cluster.head",
                "resources.nodes",
            )
        if self.cluster.min_nodes == 1:
            raise problem(
                "`cluster.min_nodes: 1` would start with the head alone, which takes no tasks (`cluster.head: "
                "dedicated`); set at least 2, for the head counts",
                "cluster.min_nodes",
                "cluster.head",
            )

    @model_validator(mode="after")
    def _collects_shards(self) -> Spec:
        """Settings of `collect` need shards; a run without shards publishes by itself."""
        output = self.output
        given = {"collect": output.collect is CollectMode.AUTO, "merge": output.merge is not None}
        given["checksums"] = output.checksums
        key = next((key for key, is_given in given.items() if is_given), None)
        if key is not None and self.shards is None:
            raise problem(f"`output.{key}` requires `shards`", f"output.{key}")
        return self

    def _refuse_second_split(self) -> None:
        """NeMo Curator can divide input among array elements too, and would drop most of what `shards` gives to one."""
        for name, value in self.environment.env.items():
            off = name == ENABLED and value.strip().lower() in ("0", "false", "no", "off")
            if name.startswith(CURATOR_ARRAYS) and not off:
                raise problem(
                    f"`environment.env` sets {name}, but `shards` already divides the input, and NeMo Curator would "
                    f"divide each shard again; remove one of the two",
                    f"environment.env.{name}",
                    "shards",
                )

    @property
    def uses_xenna(self) -> bool:
        """Whether cosmos-xenna will run the pipeline; a command is a program of its own."""
        return self.pipeline.command is None and "xenna" in self.executor.backend.lower()

    @property
    def dashboard(self) -> Dashboard:
        """How much of Ray's dashboard the run has.

        cosmos-xenna asks for Ray's states, where it is not kept from it: in a command, or in somebody else's executor.
        """
        wanted = self.cluster.dashboard
        if wanted is not None:
            return Dashboard.FULL if wanted else Dashboard.OFF
        others = self.pipeline.command is not None or self.executor.backend not in list(Backend)
        asks = others or self.executor.config.get("resource_monitor")
        return Dashboard.STATE if asks else Dashboard.OFF

    @property
    def has_own_head(self) -> bool:
        """Whether the first node is Ray's head and takes no tasks."""
        return self.cluster.head is HeadUse.DEDICATED

    @property
    def head_group(self) -> str | None:
        """The group with the head: that of `cluster.head_group`, else the first without GPUs, else the first."""
        groups = self.resources.groups
        plain = [group.name for group in groups if not group.wants_gpus]
        names = [group.name for group in groups]
        named = [name for name in names if name == self.cluster.head_group]
        return next(iter([*named, *plain, *names]), None)

    @property
    def min_nodes(self) -> int:
        """The number of nodes that must join before the run starts."""
        return self.cluster.min_nodes or self.resources.node_count


NOT_YET = {
    **dict.fromkeys(
        (
            *("site", "extends", "locked", "slurm", "collect", "limits", "partition_defaults", "partitions"),
            *(
                "gpu_types",
                "container",
                "templates",
                "network.host_suffix",
                "network.family",
                "network.internet",
                "network.ssh_to_nodes",
            ),
            *("network.proxy", "storage.purge_days"),
        ),
        "it belongs into a site file, such as .curator-slurm.yaml beside the spec",
    ),
    "network.no_proxy": "not available yet; set NO_PROXY in environment.env",
}
"""Keys that are not available in this version, or not in a spec: refused with this reason, never ignored."""
