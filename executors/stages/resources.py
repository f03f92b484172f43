"""Resources of a worker, where NeMo Curator has them: `nemo_curator.stages.resources`."""

from curator_slurm.executors.resources import Resources

__all__ = ["Resources"]
