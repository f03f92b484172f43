"""Where a cluster keeps its things, and what it is called in the kernel."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DIRECTORY = Path("/tmp/slurm-cluster")
DEFAULT_NETWORK = "10.213.77"


def default_directory() -> Path:
    """Take `$SLURM_CLUSTER_DIR` where it is set."""
    return Path(os.environ.get("SLURM_CLUSTER_DIR") or DEFAULT_DIRECTORY).absolute()


def default_network() -> str:
    """Take `$SLURM_CLUSTER_NET`, the first three numbers of a /24, where it is set."""
    return os.environ.get("SLURM_CLUSTER_NET") or DEFAULT_NETWORK


@dataclass(frozen=True)
class Layout:
    """Every path of one cluster."""

    root: Path

    @property
    def etc(self) -> Path:
        """The nodes' /etc."""
        return self.root / "etc"

    @property
    def slurm(self) -> Path:
        """Slurm's configuration in it."""
        return self.etc / "slurm"

    @property
    def log(self) -> Path:
        """Logs of all daemons of all nodes."""
        return self.root / "log"

    @property
    def shared(self) -> Path:
        """The shared storage: same path on all nodes, writable for everyone, survives `down`."""
        return self.root / "shared"

    @property
    def devices(self) -> Path:
        """The fake GPUs."""
        return self.root / "dev"

    @property
    def controller(self) -> Path:
        """State of slurmctld."""
        return self.root / "slurmctld"

    @property
    def database(self) -> Path:
        """MariaDB's data."""
        return self.root / "mariadb"

    @property
    def state(self) -> Path:
        """What runs; there is none when the cluster is down."""
        return self.root / "state.json"

    @property
    def marker(self) -> Path:
        """Says that the directory is a cluster's, and may be removed."""
        return self.root / "this-is-a-test-cluster"

    @property
    def lock(self) -> Path:
        """Beside the directory, so that it outlives a purge."""
        return Path(f"{self.root}.lock")

    @property
    def cgroup(self) -> str:
        """Name of this cluster's control group; two directories never share one."""
        return f"slurm-cluster-{hashlib.sha256(bytes(self.root)).hexdigest()[:8]}"

    def node(self, name: str) -> Path:
        """A node's own disk, with its tmp and var-tmp."""
        return self.root / "nodes" / name

    def home(self, user: str) -> Path:
        """A user's home on the shared storage."""
        return self.shared / "home" / user

    def hosts(self, name: str) -> Path:
        """A node's /etc/hosts: the one file there that differs from node to node."""
        return self.etc / f"hosts.{name}"
