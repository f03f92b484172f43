"""Pipelines: a sequence of stages, run by an executor."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

from curator_slurm.common.in_words import several
from curator_slurm.executors.resume.checkpoint import check_resumable, checkpointing
from curator_slurm.executors.resume.log import CheckpointError
from curator_slurm.executors.run.progress import pipeline_name
from curator_slurm.executors.tasks import assign_root_task_ids


class Pipeline:
    """Stages that run one after the other; composite stages are replaced by their parts when it is built."""

    def __init__(
        self,
        name: str,
        description: str | None = None,
        stages: list[Any] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.stages: list[Any] = []
        self.config = config or {}
        self.decomposition_info: dict[str, list[str]] = {}
        for stage in stages or []:
            self.add_stage(stage)

    def add_stage(self, stage: Any) -> Pipeline:
        """Append a stage; returns the pipeline, so that calls can be chained.

        Raises:
            TypeError: it does not have the methods of a stage.
        """
        if wrong := no_stage(stage):
            raise TypeError(f"stage {len(self.stages) + 1} of pipeline {self.name!r}: {wrong}")
        self.stages.append(stage)
        return self

    def build(self) -> None:
        """Replace composite stages by their parts, and mark source and sink.

        Raises:
            ValueError: there is no stage, or several are marked as source or as sink.
            TypeError: a composite stage is inside another.
        """
        if not self.stages:
            raise ValueError(f"pipeline {self.name!r} has no stages; add some with add_stage()")
        built: list[Any] = []
        for stage in self.stages:
            parts = _parts(stage)
            if parts is not None:
                self.decomposition_info[stage.name] = [part.name for part in parts]
            built.extend(parts if parts is not None else [stage])
        self.stages = built
        _mark(built, "is_source_stage", 0)
        _mark(built, "is_sink_stage", len(built) - 1)

    def run(
        self,
        executor: Any = None,
        initial_tasks: list[Any] | None = None,
        checkpoint_path: str | Path | None = None,
    ) -> list[Any] | None:
        """Build the pipeline and run it on `executor` (default: XennaExecutor); the tasks of the last stage.

        With `checkpoint_path`, a folder, source partitions whose tasks have all left the last stage are recorded
        there, and a later run of the same pipeline skips them; their tasks are not among those it returns.

        Raises:
            CheckpointError: `checkpoint_path` cannot be used, or not with these stages or this executor.
        """
        self.build()
        if executor is None:
            from curator_slurm.executors.backends.xenna.executor import XennaExecutor

            executor = XennaExecutor()
        if initial_tasks:
            assign_root_task_ids(initial_tasks)
        if checkpoint_path is not None:
            check_resumable(self.stages, initial_tasks)
            if not getattr(executor, "supports_checkpoint", False):
                raise CheckpointError(
                    f"checkpoint_path needs an executor of curator_slurm; {type(executor).__name__} does not "
                    "report which source partitions are finished"
                )
        token = pipeline_name.set(self.name)
        try:
            with checkpointing(checkpoint_path):
                result: list[Any] | None = executor.execute(self.stages, initial_tasks)
        finally:
            pipeline_name.reset(token)
        return result

    def describe(self) -> str:
        """The stages with their resources, inputs and outputs, as text."""
        lines = [
            f"Pipeline: {self.name}",
            f"Description: {self.description or 'none'}",
            f"Stages: {len(self.stages)}",
        ]
        for number, stage in enumerate(self.stages, 1):
            lines += ["", f"Stage {number}: {stage.name}"]
            resources = f"  Resources: {several(stage.resources.cpus, 'CPU')}"
            if stage.resources.requires_gpu:
                resources += f", {several(stage.resources.gpus, 'GPU')}"
            lines += [resources, f"  Batch size: {stage.batch_size}"]
            for title, spec in (("Inputs", stage.inputs()), ("Outputs", stage.outputs())):
                if isinstance(spec, tuple) and any(spec):
                    lines.append(f"  {title}: {', '.join([*spec[0], *(f'data.{name}' for name in spec[1])])}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        stages = ", ".join(f"{stage.name}({type(stage).__name__})" for stage in self.stages)
        return f"Pipeline(name={self.name!r}, stages=[{stages}])"


def no_stage(stage: Any) -> str:
    """Why this is no stage, with what somebody may have meant; empty for one."""
    if isinstance(stage, type):
        return f"{stage!r} is not a ProcessingStage; add an instance, not the class"
    if hasattr(stage, "process_batch") or hasattr(stage, "decompose"):
        return ""
    if hasattr(stage, "score_document"):
        hint = "it is a filter of documents; give it to ScoreFilter(filter_obj=...)"
    elif hasattr(stage, "modify_document"):
        hint = "it is a modifier of documents; give it to Modify(modifier_fn=...)"
    elif inspect.isroutine(stage):
        hint = "it is a function; give it to MapStage, or write a class with a method process(task)"
    else:
        hint = f"it is of class {type(stage).__name__}, which has no method process_batch"
    return f"{stage!r} is not a ProcessingStage; {hint}"


def _parts(stage: Any) -> list[Any] | None:
    """The stages that a composite stage consists of; None for an ordinary stage."""
    if not hasattr(stage, "decompose"):
        return None
    decompose = getattr(stage, "decompose_and_apply_with", stage.decompose)
    parts: list[Any] = decompose()
    for part in parts:
        if hasattr(part, "decompose"):
            raise TypeError(f"{stage.name!r} decomposes into {part.name!r}, which is composite itself")
    return parts


def _mark(stages: list[Any], role: str, default: int) -> None:
    marked = [stage for stage in stages if getattr(stage, role, False)]
    if len(marked) > 1:
        raise ValueError(f"more than one stage has {role}: {[stage.name for stage in marked]}")
    if not marked:
        # a copy: the same object may be in another pipeline, at another position
        stages[default] = copy.copy(stages[default])
        setattr(stages[default], role, True)
