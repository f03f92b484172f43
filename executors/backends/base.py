"""The base class of executors and what stages are told, where NeMo Curator has them: `nemo_curator.backends.base`."""

from curator_slurm.executors.adapter.adapter import NodeInfo, WorkerMetadata
from curator_slurm.executors.base import BaseExecutor

__all__ = ["BaseExecutor", "NodeInfo", "WorkerMetadata"]
