"""Pipeline: stages in order, and how to run them."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

from curator_slurm.executors.tasks import assign_root_ids

logger = logging.getLogger(__name__)


class Pipeline:
    """A named list of stages. Stages may be ours or NeMo Curator's, mixed."""

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
        """Append a stage; returns the pipeline, so that calls chain."""
        if isinstance(stage, type) or not all(hasattr(stage, a) for a in ("name", "resources", "process_batch")):
            hint = " (a class: did you forget the parentheses?)" if isinstance(stage, type) else ""
            raise TypeError(f"not a stage: {stage!r}{hint}")
        self.stages.append(stage)
        return self

    def build(self) -> None:
        """Replace composite stages by their parts and mark source and sink. Building twice changes nothing."""
        if not self.stages:
            raise ValueError(f"pipeline '{self.name}' has no stages")
        flat: list[Any] = []
        for stage in self.stages:
            parts = _decompose(stage)
            if parts is not None:
                self.decomposition_info[stage.name] = [part.name for part in parts]
            flat.extend([stage] if parts is None else parts)
        self.stages = flat
        self._mark("is_source_stage", default=0)
        self._mark("is_sink_stage", default=len(flat) - 1)

    def _mark(self, flag: str, default: int) -> None:
        marked = [stage.name for stage in self.stages if getattr(stage, flag, False)]
        if len(marked) > 1:
            raise ValueError(f"pipeline '{self.name}': more than one stage has {flag}: {', '.join(marked)}")
        if not marked:
            # a copy: the user's object may stand in another place of another pipeline
            self.stages[default] = copy.copy(self.stages[default])
            setattr(self.stages[default], flag, True)

    def run(
        self,
        executor: Any = None,
        initial_tasks: list[Any] | None = None,
        checkpoint_path: str | Path | None = None,
    ) -> list[Any]:
        """Run to the end and return the last stage's tasks; the default executor is Xenna's."""
        self.build()
        if checkpoint_path is not None:
            fixed = [stage.name for stage in self.stages if not getattr(stage, "is_resumable", True)]
            if fixed:
                raise ValueError(f"checkpoint_path is set, but these stages cannot resume: {', '.join(fixed)}")
            raise NotImplementedError("checkpoint_path is not available yet")
        if executor is None:
            from curator_slurm.executors.registry import make_executor

            executor = make_executor("xenna")
        if hasattr(executor, "pipeline_name"):
            executor.pipeline_name = self.name
        if initial_tasks:
            assign_root_ids(initial_tasks)
        return executor.execute(self.stages, initial_tasks) or []

    def describe(self) -> str:
        """The plan in words: stages, what each needs and gives."""
        lines = [f"Pipeline: {self.name}", f"Description: {self.description or 'none'}", f"Stages: {len(self.stages)}"]
        for number, stage in enumerate(self.stages, 1):
            lines += ["", f"Stage {number}: {stage.name}", *_describe_stage(stage)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        inner = ", ".join(f"{stage.name}({type(stage).__name__})" for stage in self.stages)
        return f"Pipeline(name='{self.name}', stages=[{inner}])"


def _decompose(stage: Any) -> list[Any] | None:
    """The parts of a composite stage, ``None`` for any other."""
    if not hasattr(stage, "decompose_and_apply_with"):
        return None
    parts = list(stage.decompose_and_apply_with())
    if len(parts) == 1 and parts[0] is stage:
        return None
    for part in parts:
        if hasattr(part, "decompose_and_apply_with"):
            raise TypeError(f"composite stage '{stage.name}' contains composite stage '{part.name}': they do not nest")
    return parts


def _describe_stage(stage: Any) -> list[str]:
    resources = stage.resources
    needs = f"  Resources: {resources.cpus:g} CPUs"
    if resources.gpus:
        needs += f", {resources.gpus:g} GPUs"
    lines = [needs, f"  Batch size: {stage.batch_size}"]
    try:
        inputs, outputs = stage.inputs(), stage.outputs()
    except Exception as error:
        return [*lines, f"  Inputs and outputs unknown: {error}"]
    per_type = {f" of {cls.__name__}": spec for cls, spec in inputs.items()} if isinstance(inputs, dict) else {"": inputs}
    for title, spec in [(f"Inputs{kind}", spec) for kind, spec in per_type.items()] + [("Outputs", outputs)]:
        for kind, names in zip(("attributes", "columns"), spec, strict=True):
            if names:
                lines.append(f"  {title}, {kind}: {', '.join(names)}")
    return lines
