"""A real multi-node Slurm on one Linux machine, for tests: see README.md in this folder."""

from slurm_cluster.api import SlurmCluster
from slurm_cluster.errors import ClusterError
from slurm_cluster.options import Options
from slurm_cluster.processes import Process

__all__ = ["ClusterError", "Options", "Process", "SlurmCluster"]
