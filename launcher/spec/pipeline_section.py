"""The `pipeline` section of a spec and its stages: which one is given, and what may stand beside it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from curator_slurm.launcher.spec.target import TARGET, from_target
from curator_slurm.launcher.spec.value_types import Command, Entry, Line, Number, Path, Section, Whole, mistake


class StageResources(Section):
    """What one worker of a stage needs."""

    cpus: Number | None = Field(default=None, ge=0, description="CPU cores, also parts of one")
    gpus: Number | None = Field(default=None, ge=0, description="GPUs, also parts of one")
    gpu_memory_gb: Number | None = Field(default=None, ge=0, description="GPU memory, in place of gpus")


class StageSpec(Section):
    """A stage given in YAML: a class and the arguments of its constructor; or, as NeMo Curator writes it, `_target_`
    with the class and the arguments beside it."""

    use: Entry = Field(description="module:Class of the stage")
    with_: dict[str, Any] = Field(default={}, alias="with", description="arguments of its constructor")
    name: Line | None = Field(default=None, description="name of the stage in progress and logs")
    resources: StageResources | None = Field(
        default=None, description="what one worker needs; default: the stage's own"
    )
    batch_size: Whole | None = Field(default=None, ge=1, description="tasks given to the stage at once")
    num_workers: Whole | None = Field(default=None, ge=1, description="exact number of workers; default: as needed")
    runtime_env: dict[str, Any] | None = Field(default=None, description="Ray's runtime environment of the workers")
    xenna_stage_spec: dict[str, Any] | None = Field(
        default=None, description="options of cosmos-xenna for this stage, used by executor xenna"
    )
    ray_stage_spec: dict[str, Any] | None = Field(
        default=None, description="options of Ray for this stage, used by executor ray_data"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_target(cls, data: Any) -> Any:
        return from_target(data) if isinstance(data, dict) and TARGET in data else data


class PipelineSpec(Section):
    """What to run: exactly one of `entry`, `stages`, `file` and `command`."""

    entry: Entry | None = Field(default=None, description="module:callable that returns a Pipeline")
    args: dict[str, Any] = Field(default={}, description="arguments of entry, or settings of file")
    stages: list[StageSpec] | None = Field(default=None, min_length=1, description="the stages, first to last")
    file: Path | None = Field(default=None, description="a pipeline of NeMo Curator in YAML, with _target_ stages")
    checkpoint_path: Path | None = Field(
        default=None, description="folder that records finished source partitions, so that the next run skips them"
    )
    command: Command | None = Field(
        default=None,
        description="any program, run on the head node with RAY_ADDRESS set; text is given to bash, a list is not",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> PipelineSpec:
        given = [key for key in ("entry", "stages", "file", "command") if getattr(self, key) is not None]
        if len(given) != 1:
            found = "none of them is given" if not given else f"{' and '.join(given)} are given"
            raise mistake(f"`pipeline` needs exactly one of entry, stages, file and command; {found}", "pipeline")
        if self.args and self.entry is None and self.file is None:
            raise mistake(
                "`pipeline.args` belong to `pipeline.entry` or `pipeline.file`; a stage takes its arguments in `with`",
                "pipeline.args",
            )
        if self.checkpoint_path is not None:
            self._check_checkpoint()
        return self

    def _check_checkpoint(self) -> None:
        key = "pipeline.checkpoint_path"
        if self.command is not None:
            raise mistake(f"`{key}` is for pipelines; a command keeps its own books", key)
        if "${output_dir}" in repr((self.args, [stage.with_ for stage in self.stages or []])):
            raise mistake(
                f"`{key}` needs outputs that stay where they are, but ${{output_dir}} is a new folder in every run and "
                "attempt; let the writers write to a folder of yours",
                key,
            )
