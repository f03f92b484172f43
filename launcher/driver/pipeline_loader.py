"""Builds the pipeline of a plan's `pipeline` section, ours or NeMo Curator's."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from curator_slurm.common import named_objects
from curator_slurm.common.named_objects import NoSuchNameError, split_name
from curator_slurm.launcher.driver.instantiate import instantiate
from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.nemo_yaml import load_nemo_yaml
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.pipeline_section import PipelineSpec, StageSpec
from curator_slurm.launcher.spec.placeholders import substitute


def import_named(entry: str, key: str) -> Any:
    """The object that the spec names with `module:name` at `key`.

    Raises:
        PipelineLoadError: there is no such module or name, or importing it failed.
    """
    module_name, _ = split_name(entry)
    try:
        return named_objects.import_named(entry)
    except NoSuchNameError as error:
        raise PipelineLoadError(
            f"{key}: {error}",
            FailureClass.ENVIRONMENT,
            "check the spelling, and that the nodes see the same version of the module",
        ) from error
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise PipelineLoadError(
                f"{key}: no module named {error.name!r} in the environment of the nodes",
                FailureClass.ENVIRONMENT,
                "put it beside the spec, or install it in the environment that the spec names; check the spelling",
                traceback.format_exc(),
            ) from error
        raise PipelineLoadError(
            f"{key}: importing {module_name} failed: no module named {error.name!r}",
            FailureClass.ENVIRONMENT,
            f"install {error.name} in the environment of the nodes",
            traceback.format_exc(),
        ) from error
    except Exception as error:
        raise PipelineLoadError(
            f"{key}: importing {module_name} failed: {type(error).__name__}: {error}",
            FailureClass.APP_FAILED,
            f"fix {module_name}",
            traceback.format_exc(),
        ) from error


def load_entry(spec: PipelineSpec) -> None:
    """Import what the pipeline needs, without building it, while the cluster boots."""
    if spec.entry is not None:
        import_named(spec.entry, "pipeline.entry")
    for index, stage in enumerate(spec.stages or []):
        import_named(stage.use, f"pipeline.stages[{index}].use")
    if spec.file is not None:
        import_named("nemo_curator.config.run:create_pipeline_from_yaml", "pipeline.file")


def build_pipeline(spec: PipelineSpec, name: str, context: Mapping[str, Any]) -> Any:
    """The pipeline of `entry` or `stages`, with the placeholders of its arguments filled in.

    Raises:
        PipelineLoadError: it cannot be imported, or does not return something with a `run` method.
    """
    if spec.entry is not None:
        build: Callable[..., Any] = import_named(spec.entry, "pipeline.entry")
        if not callable(build):
            if hasattr(build, "run"):
                return build
            raise PipelineLoadError(
                f"pipeline.entry: {spec.entry} is not callable", FailureClass.APP_FAILED, "give a function or class"
            )
        pipeline = build(**substitute(spec.args, context))
        if not hasattr(pipeline, "run"):
            raise PipelineLoadError(
                f"pipeline.entry: {spec.entry} returned {type(pipeline).__name__}, which is not a pipeline",
                FailureClass.APP_FAILED,
                "return a Pipeline (of curator_slurm.executors, or of nemo_curator)",
            )
        return pipeline
    if spec.file is not None:
        return load_nemo_yaml(spec.file, name, substitute(spec.args, context))
    from curator_slurm.executors import Pipeline

    pipeline = Pipeline(name=name)
    for index, stage in enumerate(spec.stages or []):
        pipeline.add_stage(build_stage(stage, f"pipeline.stages[{index}]", context))
    return pipeline


def build_stage(spec: StageSpec, key: str, context: Mapping[str, Any]) -> Any:
    """One stage of the spec, with what the spec overrides."""
    make = import_named(spec.use, f"{key}.use")
    arguments = instantiate(substitute(spec.with_, context), lambda entry: import_named(entry, f"{key}.with"))
    try:
        stage = make(**arguments)
    except TypeError as error:
        raise PipelineLoadError(
            f"{key}: {spec.use} does not take these arguments: {error}",
            FailureClass.APP_FAILED,
            "compare `with` with the arguments of the class",
            traceback.format_exc(),
        ) from error
    changes = _overrides(spec)
    try:
        return stage.with_(**changes) if changes else stage
    except TypeError as error:
        raise PipelineLoadError(
            f"{key}: with_() of {spec.use} does not take {' and '.join(changes)}: {error}",
            FailureClass.APP_FAILED,
            "leave the setting out, or install a newer version of what the stage comes from",
            traceback.format_exc(),
        ) from error


_SETTINGS = (
    *("name", "batch_size", "num_workers", "num_workers_per_node"),
    *("runtime_env", "xenna_stage_spec", "ray_stage_spec"),
)
"""Of a stage in a spec, what `with_` takes as it is."""


def _overrides(spec: StageSpec) -> dict[str, Any]:
    changes: dict[str, Any] = {key: value for key in _SETTINGS if (value := getattr(spec, key)) is not None}
    if spec.resources is not None:
        from curator_slurm.executors import Resources

        changes["resources"] = Resources(**spec.resources.model_dump(exclude_none=True))
    return changes


def run_arguments(pipeline: Any, executor: Any, checkpoint_path: str | None) -> dict[str, Any]:
    """The arguments of `pipeline.run`; workflows of NeMo Curator take fewer than pipelines.

    Raises:
        PipelineLoadError: `run` takes no executor, or no checkpoint path although the spec has one.
    """
    known = inspect.signature(pipeline.run).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    given = {"executor": executor, **({"checkpoint_path": checkpoint_path} if checkpoint_path else {})}
    for name in given:
        if name not in known and not takes_any:
            raise PipelineLoadError(
                f"pipeline: {type(pipeline).__name__}.run() takes no argument {name!r}",
                FailureClass.APP_FAILED,
                "run it as pipeline.command" if name == "executor" else "remove pipeline.checkpoint_path",
            )
    return given
