"""The `pipeline` section of a spec and its stages: which one is given, and what may stand beside it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from curator_slurm.launcher.spec.target import TARGET, from_target
from curator_slurm.launcher.spec.value_types import (
    Command,
    Entry,
    GroupName,
    Line,
    Number,
    Path,
    Section,
    Whole,
    problem,
)


class StageResources(Section):
    """Resources of one worker of a stage."""

    cpus: Number | None = Field(default=None, ge=0, description="CPU cores; fractions are possible")
    gpus: Number | None = Field(default=None, ge=0, description="GPUs; fractions are possible")
    gpu_memory_gb: Number | None = Field(default=None, ge=0, description="GPU memory in GB, instead of gpus")
    group: GroupName | None = Field(
        default=None, description="the group of `resources.groups` whose nodes workers stay on"
    )


class StageSpec(Section):
    """A stage given in YAML: a class and the arguments of its constructor; or, as NeMo Curator writes it, `_target_`
    with the class and the arguments beside it."""

    use: Entry = Field(description="module:Class of the stage")
    with_: dict[str, Any] = Field(default={}, alias="with", description="arguments of its constructor")
    name: Line | None = Field(default=None, description="name of the stage in progress and logs")
    resources: StageResources | None = Field(
        default=None, description="resources of one worker; default: the stage's own"
    )
    batch_size: Whole | None = Field(default=None, ge=1, description="number of tasks per call of the stage")
    num_workers: Whole | None = Field(
        default=None, ge=1, description="fixed number of workers; default: scales with the load"
    )
    num_workers_per_node: Number | None = Field(
        default=None, gt=0, description="fixed number of workers for each node, instead of num_workers; fractions too"
    )
    runtime_env: dict[str, Any] | None = Field(default=None, description="Ray's runtime environment of the workers")
    xenna_stage_spec: dict[str, Any] | None = Field(
        default=None, description="options of cosmos-xenna for this stage; used by the executor xenna"
    )
    ray_stage_spec: dict[str, Any] | None = Field(
        default=None, description="options of Ray for this stage; used by the executors ray_data and ray_actor_pool"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_target(cls, data: Any) -> Any:
        return from_target(data) if isinstance(data, dict) and TARGET in data else data

    @model_validator(mode="after")
    def _one_number_of_workers(self) -> StageSpec:
        if self.num_workers_per_node is None:
            return self
        if self.num_workers is not None:
            raise problem("a stage has either `num_workers` or `num_workers_per_node`; found both")
        if "num_workers_per_node" in (self.xenna_stage_spec or {}):
            raise problem("`num_workers_per_node` is given beside `use` and in `xenna_stage_spec`; give it once")
        return self


class PipelineSpec(Section):
    """What to run: exactly one of `entry`, `stages`, `file` and `command`."""

    entry: Entry | None = Field(default=None, description="module:function that returns a Pipeline")
    args: dict[str, Any] = Field(default={}, description="arguments of entry, or settings of file")
    stages: list[StageSpec] | None = Field(default=None, min_length=1, description="the stages, first to last")
    file: Path | None = Field(default=None, description="a pipeline of NeMo Curator in YAML, with _target_ stages")
    checkpoint_path: Path | None = Field(
        default=None, description="folder that records finished source partitions, so that the next run skips them"
    )
    command: Command | None = Field(
        default=None,
        description="any program, run on the head node with RAY_ADDRESS set; a string is run by bash, a list directly",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> PipelineSpec:
        given = [key for key in ("entry", "stages", "file", "command") if getattr(self, key) is not None]
        if len(given) != 1:
            found = "none of them is set" if not given else f"{' and '.join(given)} are set"
            raise problem(f"`pipeline` requires exactly one of entry, stages, file and command; {found}", "pipeline")
        if self.args and self.entry is None and self.file is None:
            raise problem(
                "`pipeline.args` requires `pipeline.entry` or `pipeline.file`; a stage takes its arguments in `with`",
                "pipeline.args",
            )
        if self.checkpoint_path is not None:
            self._check_checkpoint()
        return self

    def _check_checkpoint(self) -> None:
        key = "pipeline.checkpoint_path"
        if self.command is not None:
            raise problem(f"`{key}` cannot be used with `pipeline.command`", key)
        if "${output_dir}" in repr((self.args, [stage.with_ for stage in self.stages or []])):
            raise problem(
                f"`{key}` cannot be used with ${{output_dir}}, which is a new folder in every run; write to a folder "
                f"of your own, or leave `{key}` out: attempts at one run go on where the last one has stopped",
                key,
            )
