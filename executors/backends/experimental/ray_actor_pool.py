"""RayActorPoolExecutor under NeMo Curator's earlier name, `nemo_curator.backends.experimental.ray_actor_pool`."""

from curator_slurm.executors.backends.ray_actor_pool.executor import RayActorPoolExecutor

__all__ = ["RayActorPoolExecutor"]
