"""The base classes of stages, where NeMo Curator has them: `nemo_curator.stages.base`."""

from curator_slurm.executors.stage import CompositeStage, ProcessingStage

__all__ = ["CompositeStage", "ProcessingStage"]
