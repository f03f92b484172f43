"""What a cluster can be asked to be."""

from dataclasses import dataclass

LOGIN = "login"
"""The node without jobs: it runs the controller and is where users submit."""

SUBMITTER = "alice"
"""The ordinary user who submits in most tests."""

NEIGHBOUR = "mallory"
"""Another ordinary user of the same cluster, who should neither see nor touch alice's things."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Size and habits of a cluster.

    `conf` replaces or adds settings of slurm.conf, `partitions` adds partitions; `gpu_types` are the types of the GPUs
    of each node in turn; with `memory_tmp` /tmp is memory on every node, of so many MB; `expose` names directories
    that ordinary users must reach at their own path on every node (see expose.py).
    """

    nodes: int = 3
    cpus: int = 4
    memory_mb: int = 6000
    gpus: int = 2
    accounting: bool = True
    max_array: int = 1001
    proctrack: str = "cgroup"
    hosts_loopback: bool = False
    gateway: bool = True
    conf: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    gpu_types: tuple[str, ...] = ()
    memory_tmp: int = 0
    expose: tuple[str, ...] = ()

    @property
    def node_names(self) -> list[str]:
        """Compute nodes in Slurm's order."""
        return [f"n{i + 1}" for i in range(self.nodes)]
