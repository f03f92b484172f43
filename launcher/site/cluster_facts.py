"""What a cluster has: partitions, GPUs, network, storage, containers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from curator_slurm.launcher.site.habits import GpuUse, MemoryUse
from curator_slurm.launcher.site.limits import LimitsSpec
from curator_slurm.launcher.spec.container_section import MountList
from curator_slurm.launcher.spec.model import StorageSpec
from curator_slurm.launcher.spec.network_section import NetworkSpec
from curator_slurm.launcher.spec.value_types import (
    EnvName,
    EnvValue,
    Line,
    LineList,
    Memory,
    OrPlain,
    Path,
    Section,
    Size,
    Time,
    Whole,
)


class Internet(StrEnum):
    """How compute nodes reach the internet."""

    YES = "yes"
    NO = "no"
    PROXY = "proxy"
    NAT = "nat"


class AddressFamily(StrEnum):
    """The addresses that nodes use among themselves."""

    AUTO = "auto"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class ContainerPlace(StrEnum):
    """Where the option that starts a container may stand."""

    SRUN = "srun"
    SBATCH = "sbatch"
    COMMAND = "command"


class Sharing(StrEnum):
    """Whether jobs share nodes."""

    SHARED = "shared"
    WHOLE = "whole"


class ProxySpec(Section):
    """The proxy through which compute nodes reach the internet."""

    http: Line | None = Field(default=None, description="for HTTP, such as http://proxy.example.org:3128")
    https: Line | None = Field(default=None, description="for HTTPS; default: that of HTTP")
    no_proxy: LineList = Field(default=[], description="hosts that are reached without it, besides those of the job")


def _local_folder(value: Any) -> Any:
    """A path is a section that has nothing else."""
    return {"path": value} if isinstance(value, str) else value


class NodeLocalSpec(Section):
    """A folder on a disk of each node."""

    path: Path | None = Field(
        default=None,
        description="the folder, such as /tmp or /local/${SLURM_JOB_ID}: variables of the job are those on the node",
    )
    is_memory: bool = Field(
        default=False,
        description="whether it is memory, which counts in the job's: then Ray gets less, and spills to shared storage",
    )
    size: Size | None = Field(
        default=None,
        description="what a job may put there: what is kept of the memory, or where Ray stops spilling; default: "
        "unknown, and of memory a sixteenth is kept, 256 MiB to 4 GiB",
    )
    option: Line | None = Field(
        default=None, description="what a job must ask for to get it: gres=nvme:100, constraint=nvme"
    )


class NetworkFacts(NetworkSpec):
    """Addresses and ports of the Ray cluster, and how nodes reach each other and the internet."""

    host_suffix: Line | None = Field(
        default=None, description="what a host name gets for the fast network, such as i (node7 -> node7i)"
    )
    family: AddressFamily = Field(default=AddressFamily.AUTO, description="addresses of nodes: auto takes the head's")
    internet: Internet | None = Field(
        default=None, description="how compute nodes reach the internet: yes, no, proxy or nat; default: not known"
    )
    proxy: ProxySpec = ProxySpec()
    ssh_to_nodes: bool | None = Field(
        default=None,
        description="whether users may log in to the nodes of their jobs by ssh; false: `dashboard` prints a command "
        "by srun in place of one by ssh",
    )


class StorageFacts(StorageSpec):
    """Where run directories and node-local files are kept, and for how long."""

    node_local: Annotated[NodeLocalSpec | None, BeforeValidator(_local_folder), OrPlain({"type": "string"})] = Field(  # type: ignore[assignment]
        default=None,
        description="node-local folder for Ray's session, temporary files and spilling: a path, or a section with "
        "`path`",
    )
    purge_days: Whole | None = Field(
        default=None,
        ge=1,
        description="days after which the site deletes unused files in the runs folder; status and retry warn before",
    )


class GpuTypeSpec(Section):
    """A kind of GPU."""

    names: LineList = Field(default=[], description="other names that users give it, such as h100-80")
    gres_type: Line | None = Field(default=None, description="its type in Slurm, gpu:TYPE:4; default: none is given")
    memory: Memory | None = Field(default=None, description="memory of one")
    account_suffix: Line | None = Field(
        default=None, description="what an account gets for this GPU, such as @h100 or _g"
    )
    constraint: Line | None = Field(default=None, description="--constraint that chooses nodes with it")


class PartitionSpec(Section):
    """A partition, and what its nodes have."""

    about: Line | None = Field(default=None, description="what it is for, in one sentence")
    slurm_name: Line | None = Field(
        default=None, description="its name in Slurm, where several entries are about one; default: the key"
    )
    choose: bool = Field(
        default=True, description="whether a run that names no partition may be put there; the first that fits is taken"
    )
    together: Line | None = Field(
        default=None,
        description="a word that partitions share of which Slurm may take the first that starts (-p a,b)",
    )
    sharing: Sharing = Field(default=Sharing.SHARED, description="shared, or whole: jobs get whole nodes only")
    whole_if_several: bool = Field(
        default=False, description="whether a job with several nodes must take them as a whole"
    )
    node_count: Whole | None = Field(default=None, ge=1, description="how many nodes it has")
    cpus: Whole | None = Field(default=None, ge=1, description="CPUs of a node, as Slurm counts them")
    usable_cpus: Whole | None = Field(
        default=None, ge=1, description="CPUs of a node that a job may use, where the system keeps some; default: cpus"
    )
    memory: Memory | None = Field(default=None, description="memory of a node that a job may use")
    gpus: Whole = Field(default=0, ge=0, description="GPUs of a node")
    gpu_type: Line | None = Field(default=None, description="their kind, a key of `gpu_types`")
    min_gpus: Whole = Field(default=0, ge=0, description="least GPUs that a job must ask for on each node")
    gpus_by: GpuUse | None = Field(default=None, description="how GPUs are asked for here; default: slurm.gpus")
    mem_by: MemoryUse | None = Field(default=None, description="how memory is asked for here; default: slurm.mem")
    mem_per_cpu: Memory | None = Field(default=None, description="memory that comes with a CPU, where it follows CPUs")
    mem_per_gpu: Memory | None = Field(default=None, description="memory that comes with a GPU, where it follows GPUs")
    option_partition: bool = Field(
        default=True, description="whether it is named to sbatch; false: constraint, QOS or account lead there"
    )
    constraint: Line | None = Field(default=None, description="--constraint that its jobs need")
    qos: Line | None = Field(default=None, description="--qos that its jobs need")
    account_suffix: Line | None = Field(default=None, description="what an account gets here, such as _g")
    sbatch: dict[str, Any] = Field(default={}, description="other options of sbatch that its jobs need")
    default_time: Time | None = Field(
        default=None, description="time limit that curator-slurm sets where a spec has none; Slurm's may be minutes"
    )
    limits: LimitsSpec = LimitsSpec()
    preempted: bool = Field(default=False, description="whether jobs there may be preempted")
    internet: Internet | None = Field(default=None, description="as network.internet, for its nodes")
    node_local: Annotated[NodeLocalSpec | None, BeforeValidator(_local_folder), OrPlain({"type": "string"})] = Field(
        default=None, description="as storage.node_local, for its nodes"
    )


class ContainerFacts(Section):
    """How containers are started here."""

    runtimes: LineList = Field(
        default=[],
        description="what there is, the preferred one first: pyxis, enroot, apptainer, singularity, charliecloud, "
        "podman, podman-hpc, shifter, or command, with `command` below",
    )
    place: ContainerPlace = Field(
        default=ContainerPlace.SRUN,
        description="where the words of `command` stand: srun, as options of it, or command, before what runs inside",
    )
    binds: MountList = Field(
        default=[], description="folders that every container has, as in a spec's `environment.container.mounts`"
    )
    env: dict[EnvName, EnvValue] = Field(default={}, description="variables that the runtime needs")
    images: Path | None = Field(
        default=None, description="folder of images that users name by a relative path, such as nemo/curator.sqsh"
    )
    gpu_options: LineList | None = Field(
        default=None,
        description="options that give a container the GPUs, such as --rocm; default: the runtime's for NVIDIA",
    )
    command: LineList = Field(
        default=[],
        description="a runtime of the site's own, word by word, with {image}, {name}, and {mount} or {source} and "
        "{target}: such a word is repeated for each mount",
    )
