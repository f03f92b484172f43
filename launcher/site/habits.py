"""How a site wants to be asked: options of sbatch that it takes or refuses, and the collect job.

Every default is right for plain Slurm.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from curator_slurm.launcher.spec.value_types import Line, Memory, Section, Time, problem


class OptionUse(StrEnum):
    """Whether an option of sbatch may be given."""

    USE = "use"
    NEVER = "never"


class ExportUse(StrEnum):
    """How a job gets a clean environment."""

    NIL = "nil"
    NONE = "none"
    NEVER = "never"


class MemoryUse(StrEnum):
    """How memory is asked for."""

    USE = "use"
    NEVER = "never"
    WHOLE_NODE = "whole_node"
    PER_CPU = "per_cpu"
    PER_GPU = "per_gpu"


class GpuUse(StrEnum):
    """How GPUs are asked for."""

    GPUS_PER_NODE = "gpus_per_node"
    GRES = "gres"
    NEVER = "never"


class ExclusiveUse(StrEnum):
    """Whether nodes are asked for as a whole."""

    USE = "use"
    NEVER = "never"
    ALWAYS = "always"


class SlurmHabits(Section):
    """How this site wants sbatch to be called."""

    export: ExportUse = Field(
        default=ExportUse.NIL,
        description="how --export is used: nil (--export=NIL), none (--export=NONE) or never; whichever it is, the "
        "script makes the job's environment clean",
    )
    mem: MemoryUse = Field(
        default=MemoryUse.USE,
        description="how memory is asked for: use passes what a run needs, whole_node all of the node's "
        "(`whole_node_mem`); never passes no option, nor do per_cpu and per_gpu, where memory follows CPUs or GPUs",
    )
    whole_node_mem: Memory = Field(
        default="0", description="--mem for all memory of a node: 0, or an amount such as 450G where 0 is refused"
    )
    gpus: GpuUse = Field(
        default=GpuUse.GPUS_PER_NODE,
        description="how `gpus_per_node` is passed: as --gpus-per-node, as --gres=gpu:..., or never, where nodes with "
        "GPUs are given as a whole or chosen by partition or constraint",
    )
    gres: OptionUse = Field(default=OptionUse.USE, description="whether --gres may be given")
    nodelist: OptionUse = Field(
        default=OptionUse.USE, description="whether nodes may be named: --nodelist, --nodefile and --exclude"
    )
    exclusive: ExclusiveUse = Field(
        default=ExclusiveUse.USE,
        description="whether nodes are asked for as a whole: use, where a spec has --exclusive; always; or never",
    )
    no_kill: OptionUse = Field(
        default=OptionUse.USE,
        description="whether --no-kill may be given, with which a run outlives a lost node; never: a lost node ends it",
    )
    no_requeue: OptionUse = Field(
        default=OptionUse.USE,
        description="whether --no-requeue may be given, as for runs that are not restarted by requeue; never leaves it "
        "to the site",
    )
    requeue: OptionUse = Field(
        default=OptionUse.USE,
        description="whether --requeue may be given; never: every job has --no-requeue (unless no_requeue is never), "
        "and a run goes on by a new job (`restart.mechanism: auto` is resubmit, and requeue is refused)",
    )
    signal: OptionUse = Field(
        default=OptionUse.USE,
        description="whether --signal may be given, by which a job drains before its time limit; never: it drains at "
        "the limit, in the time that Slurm leaves it then (KillWait)",
    )
    open_mode: OptionUse = Field(default=OptionUse.USE, description="whether --open-mode=append may be given")
    account_required: bool = Field(default=False, description="whether a job without an account is refused")
    time_required: bool = Field(default=False, description="whether a job without a time limit is refused")

    @model_validator(mode="after")
    def _consistent(self) -> SlurmHabits:
        if self.gpus is GpuUse.GRES and self.gres is OptionUse.NEVER:
            raise problem(
                "`slurm.gpus: gres` asks for GPUs by --gres, and `slurm.gres: never` forbids that; change one of them",
                "slurm.gpus",
                "slurm.gres",
            )
        return self


class CollectHabits(Section):
    """The small job that publishes outputs (`output.collect: auto`); default: as the run, with one CPU and no GPU."""

    partition: Line | None = Field(default=None, description="its partition, such as one without GPUs")
    qos: Line | None = Field(default=None, description="its QOS")
    account: Line | None = Field(default=None, description="its account, such as one for CPUs")
    time: Time | None = Field(default=None, description="its time limit")
    memory: Memory = Field(
        default="4G", description="its memory, where a run asks for memory and the site takes such options"
    )
