"""How a Slurm is configured, as `scontrol show config` tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.slurm.scontrol_records import parse_configuration


@dataclass(frozen=True, kw_only=True)
class SlurmConfiguration:
    """The settings of slurm.conf that a site file depends on."""

    name: str
    version: str
    select_type: str
    select_parameters: tuple[str, ...]
    enforced: tuple[str, ...]
    """AccountingStorageEnforce: associations, limits, qos, safe."""
    has_accounting: bool
    max_array_size: int | None
    kill_wait_s: int | None
    """KillWait: seconds between SIGTERM and SIGKILL."""
    requeues: bool
    """JobRequeue: what becomes of jobs that do not say it."""
    preempt_type: str
    job_submit: tuple[str, ...]
    """Plug-ins that may refuse or change a job by rules that no command shows."""

    @property
    def shares_memory(self) -> bool:
        """Whether memory is given to jobs as CPUs are, so that --mem means something."""
        return any("MEMORY" in word for word in self.select_parameters)

    @property
    def gives_whole_nodes(self) -> bool:
        """Whether nodes are never shared, in any partition."""
        return self.select_type == "select/linear"

    @property
    def knows_gpus(self) -> bool:
        """Whether --gpus-per-node and its like are understood; --gres always is."""
        return self.select_type == "select/cons_tres"

    @property
    def needs_association(self) -> bool:
        """Whether a job needs an account that its user belongs to."""
        return any(word in ("associations", "limits", "qos", "safe", "wckeys") for word in self.enforced)


def parse_slurm_configuration(text: str) -> SlurmConfiguration:
    """The output of `scontrol show config`."""
    found = parse_configuration(text)
    enforced = tuple(word.lower() for word in found.words("AccountingStorageEnforce"))
    return SlurmConfiguration(
        name=found.text("ClusterName"),
        version=found.text("SLURM_VERSION"),
        select_type=found.text("SelectType"),
        select_parameters=tuple(word.upper() for word in found.words("SelectTypeParameters")),
        enforced=() if enforced == ("none",) else enforced,
        has_accounting="slurmdbd" in found.text("AccountingStorageType"),
        max_array_size=found.number("MaxArraySize"),
        kill_wait_s=whole_number(found.text("KillWait").partition(" ")[0]),
        requeues=found.is_yes("JobRequeue"),
        preempt_type=found.text("PreemptType").removeprefix("preempt/").replace("none", ""),
        job_submit=(*found.words("JobSubmitPlugins"), *found.words("CliFilterPlugins")),
    )
