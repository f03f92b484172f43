"""RayDataExecutor under NeMo Curator's earlier name, `nemo_curator.backends.experimental.ray_data`."""

from curator_slurm.executors.backends.ray_data.executor import RayDataExecutor

__all__ = ["RayDataExecutor"]
