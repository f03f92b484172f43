"""Stages made of functions, where NeMo Curator has them: `nemo_curator.stages.function_decorators`."""

from curator_slurm.executors.stage import processing_stage

__all__ = ["processing_stage"]
