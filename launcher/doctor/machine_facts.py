"""What a machine says of itself, as JSON between the nodes and the login node; values that are not known are None."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Facts(BaseModel):
    """Base of all facts: another version's unknown fields are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FolderFacts(Facts):
    """A folder on shared storage, as one machine sees it; `problem` is why it cannot be used."""

    path: str
    problem: str = ""
    step: str = ""
    kind: str = ""
    """Type of its file system."""
    free_bytes: int | None = None
    free_files: int | None = None
    """None where the file system does not count them."""
    lacks: tuple[str, ...] = ()
    """Operations that do not do what runs rely on, in words."""
    locks: bool = True
    """Whether flock works; runs do without."""


class LocalFacts(Facts):
    """The node-local folder."""

    path: str = ""
    problem: str = ""
    step: str = ""
    kind: str = ""
    free_bytes: int | None = None
    linked: bool = False
    """Whether Ray's sockets are in /tmp, because the path is too long for them."""


class GpuFacts(Facts):
    """What nvidia-smi or rocm-smi says; `tool` is empty where there is none."""

    promised: int = 0
    tool: str = ""
    seen: int = 0
    driver: str = ""
    problems: tuple[str, ...] = ()


class AddressFacts(Facts):
    """The node's address for Ray, and ports on which it listens while the others call."""

    address: str = ""
    problem: str = ""
    step: str = ""
    interfaces: tuple[str, ...] = ()
    port_range: tuple[int, int] = (0, 0)
    port_note: str = ""
    port_problem: str = ""
    port_step: str = ""
    listens: tuple[int, ...] = ()


class StagingFacts(Facts):
    """What goes to the nodes' own disks, as the login node sees it; `problem` is why it cannot be seen."""

    files: int = 0
    room: int = 0
    """Bytes that it takes on a node."""
    is_packed: bool = False
    problem: str = ""
    outside: tuple[str, ...] = ()
    """What it leads to that is not copied."""


class NodeFacts(Facts):
    """One node of the job."""

    node: str
    number: int
    nodes: tuple[str, ...]
    clock: float
    python: str
    versions: dict[str, str]
    ray_problem: str = ""
    ray_step: str = ""
    cpus: int
    """Given by Slurm."""
    cpus_online: int
    cpus_allowed: int
    memory: int
    """Of the job, in bytes."""
    memory_promised: int
    """By Slurm; 0 where it names no limit."""
    memory_machine: int
    shm_free: int
    storage: FolderFacts
    local: LocalFacts
    gpus: GpuFacts
    network: AddressFacts
    limits: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    proxies: dict[str, str] = {}
    runtimes: tuple[str, ...] = ()
    has_zstd: bool = True
    places: tuple[tuple[str, str], ...] = ()
    """Key of the spec and message, of what it names and this node does not have."""


class PeerFacts(Facts):
    """One node as another one reaches it: how many ports answered, why the others did not, in how many ms."""

    node: str
    address: str = ""
    answered: int = 0
    silent: dict[int, str] = {}
    """Port -> why there was no answer."""
    stranger: bool = False
    """Somebody else answered at that address."""
    ms: float | None = None
    clock_ahead_s: float | None = None
    """Of the peer, measured over the network."""


class MeetingFacts(Facts):
    """What a node has seen of the others."""

    node: str
    unseen: tuple[str, ...] = ()
    """Nodes whose file did not appear to this one in time."""
    peers: tuple[PeerFacts, ...] = ()
    echo_ms: dict[str, list[float]] = {}
    """Of the first node alone: node -> how long a file to it took, half of the way there and back."""
    races: tuple[str, ...] = ()
    """Names of what this node alone should have made, such as link-0, and has made."""


class LoginFacts(Facts):
    """The machine on which `doctor` is typed."""

    host: str
    python: str
    version: str
    slurm_version: str = ""
    slurm_problem: str = ""
    slurm_step: str = ""
    slurm_needed: bool = True
    """False where runs of this machine alone would do, because there is no Slurm."""
    site_files: tuple[str, ...] = ()
    site_problems: tuple[str, ...] = ()
    spec: str = ""
    """Path of the spec; empty where none is given."""
    spec_problems: tuple[str, ...] = ()
    spec_warnings: tuple[str, ...] = ()
    runs: FolderFacts | None = None
    staging: StagingFacts | None = None
    """None where the spec stages nothing."""
    proxies: dict[str, str] = {}


class JobFacts(Facts):
    """What became of the small job."""

    job_id: str = ""
    problem: str = ""
    """Why there are no facts of any node."""
    step: str = ""
    nodes: tuple[str, ...] = ()
    refusals: dict[str, tuple[str, str]] = {}
    """Node -> why nothing could start there, and what to do."""
    silent: tuple[str, ...] = ()
    """Nodes of which nothing at all came."""
    log: tuple[str, ...] = ()
    submitted: float = 0.0
    answered: float = 0.0
