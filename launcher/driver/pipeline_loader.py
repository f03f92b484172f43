"""Builds the pipeline of a plan's `pipeline` section, ours or NeMo Curator's."""

from __future__ import annotations

import copy
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from curator_slurm.common import named_objects
from curator_slurm.common.named_objects import NoSuchNameError, split_name
from curator_slurm.launcher.driver.instantiate import instantiate
from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.nemo_yaml import load_nemo_yaml
from curator_slurm.launcher.errors import CuratorSlurmError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.pipeline_section import PipelineSpec, StageSpec
from curator_slurm.launcher.spec.placeholders import substitute

_NOT_THE_USERS = ("<frozen", str(Path(__file__).parents[2]))


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
        raise _missing_module(error, module_name, key) from error
    except (Exception, SystemExit) as error:
        raise PipelineLoadError(
            f"{key}: importing {module_name} failed: {told(error)}",
            FailureClass.APP_FAILED,
            f"fix {module_name}",
            traceback.format_exc(),
        ) from error


def _missing_module(error: ModuleNotFoundError, module_name: str, key: str) -> PipelineLoadError:
    missing = error.name or ""
    if module_name != missing and not module_name.startswith(f"{missing}."):
        return PipelineLoadError(
            f"{key}: importing {module_name} failed: no module named {missing!r}",
            FailureClass.ENVIRONMENT,
            f"install {missing} in the environment of the nodes",
            traceback.format_exc(),
        )
    step = "put it beside the spec, or install it in the environment that the spec names; check the spelling"
    if missing == "nemo_curator":
        step = "install NeMo Curator in that environment (pip install nemo-curator)"
    close = next(iter(get_close_matches(missing, _siblings(missing), n=1)), "")
    return PipelineLoadError(
        f"{key}: no module named {missing!r} in the environment of the nodes{_meant(close)}",
        FailureClass.ENVIRONMENT,
        step,
        traceback.format_exc(),
    )


def _siblings(module: str) -> Iterable[str]:
    """The modules beside one that is missing: in its package, or at the top."""
    parent, dot, _ = module.rpartition(".")
    try:
        paths = import_module(parent).__path__ if parent else None
    except Exception:
        return ()
    names = {found.name for found in pkgutil.iter_modules(paths)}
    return (f"{parent}{dot}{name}" for name in (names if parent else names - sys.stdlib_module_names))


def _meant(close: str) -> str:
    return f"; did you mean {close!r}?" if close else ""


def told(error: BaseException) -> str:
    """An error of the user's code in one line, with the file and line that it comes from."""
    if isinstance(error, SystemExit):
        what, text = "it calls sys.exit", f"{error.code!r}"
    else:
        what, text = type(error).__name__, str(error).strip().partition("\n")[0]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{what}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1].filename if len(frames) > 1 else ""
    where = f" ({last}, line {frames[-1].lineno})" if last and not last.startswith(_NOT_THE_USERS) else ""
    return f"{what}{': ' + text if text else ''}{where}"


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
        arguments = substitute(spec.args, context)
        if misfit := _misfit(build, arguments):
            raise PipelineLoadError(
                f"pipeline.args: {spec.entry} does not take these arguments: {misfit}",
                FailureClass.APP_FAILED,
                "compare `args` with the arguments of the function",
            )
        pipeline = build(**arguments)
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
        add_stage(pipeline, stage, index, context)
    return pipeline


def add_stage(pipeline: Any, spec: StageSpec, index: int, context: Mapping[str, Any]) -> None:
    """Make a stage of the spec, and append it.

    Raises:
        PipelineLoadError: it cannot be made, or is no stage.
    """
    from curator_slurm.executors.pipeline import no_stage

    key = f"pipeline.stages[{index}]"
    stage = build_stage(spec, key, context)
    if wrong := no_stage(stage):
        raise PipelineLoadError(
            f"{key}.use: stage {index + 1}, {spec.use}: {wrong}",
            FailureClass.APP_FAILED,
            "give a class that is derived from ProcessingStage, or a function that returns an instance of one",
        )
    pipeline.add_stage(stage)


def build_stage(spec: StageSpec, key: str, context: Mapping[str, Any]) -> Any:
    """One stage of the spec, with what the spec overrides."""
    make = import_named(spec.use, f"{key}.use")
    if not callable(make):
        return make
    values = substitute(spec.with_, context)
    arguments = _made(
        lambda: instantiate(values, lambda entry: import_named(entry, f"{key}.with")),
        f"{key}: an object in `with`",
        key,
    )
    if misfit := _misfit(make, arguments):
        kind, step = ", which is a function,", "a stage is a class, or a function that returns a stage"
        if inspect.isclass(make):
            kind, step = "", _COMPARE
        raise PipelineLoadError(
            f"{key}: {spec.use}{kind} does not take these arguments: {misfit}",
            FailureClass.APP_FAILED,
            step,
            key=f"{key}.with",
        )
    stage = _made(lambda: make(**arguments), f"{key}: {spec.use}", key)
    from curator_slurm.executors.pipeline import no_stage

    changes = _overrides(spec, stage)
    try:
        return stage if not changes or (no_stage(stage) and not hasattr(stage, "with_")) else stage.with_(**changes)
    except (TypeError, AttributeError) as error:
        raise PipelineLoadError(
            f"{key}: with_() of {spec.use} does not take {' and '.join(changes)}: {error}",
            FailureClass.APP_FAILED,
            "leave the setting out, or install a newer version of what the stage comes from",
            traceback.format_exc(),
        ) from error


_COMPARE = "compare `with` with the arguments of the class"


def _made(make: Callable[[], Any], what: str, key: str) -> Any:
    """What a constructor of the user's returns.

    Raises:
        PipelineLoadError: it raised something; a package that it needs may be missing.
    """
    try:
        return make()
    except CuratorSlurmError:
        raise
    except ImportError as error:
        raise PipelineLoadError(
            f"{what} cannot be made: {told(error)}",
            FailureClass.ENVIRONMENT,
            "install what it needs in the environment of the nodes",
            traceback.format_exc(),
            key=f"{key}.use",
        ) from error
    except Exception as error:
        raise PipelineLoadError(
            f"{what} cannot be made with these arguments: {told(error)}",
            FailureClass.APP_FAILED,
            _COMPARE,
            traceback.format_exc(),
            key=f"{key}.with",
        ) from error


def _misfit(make: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Why a function or class cannot be called with these arguments, with the nearest that it has; empty if it can."""
    signature = _signature(make)
    if signature is None:
        return ""
    try:
        signature.bind(**arguments)
    except TypeError as error:
        known = [
            name
            for name, each in signature.parameters.items()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        ]
        unknown = next((name for name in arguments if name not in known), "")
        takes = f"; it takes {', '.join(known) or 'none'}"
        if not unknown or any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
            return f"{error}{takes}"
        close = next(iter(get_close_matches(unknown, known, n=1)), "")
        return f"there is no argument {unknown!r}{_meant(close) or takes}"
    return ""


def _signature(make: Callable[..., Any]) -> inspect.Signature | None:
    """What a function or class takes; that of the constructor where a metaclass, as NeMo Curator's, takes anything."""
    try:
        signature = inspect.signature(make)
        if inspect.isclass(make) and type(make) is not type and list(signature.parameters) == ["args", "kwargs"]:
            own = list(inspect.signature(make.__init__).parameters.values())
            return signature.replace(parameters=own[1:])
    except (TypeError, ValueError):
        return None
    return signature


_SETTINGS = (
    *("name", "batch_size", "num_workers", "num_workers_per_node"),
    *("runtime_env", "xenna_stage_spec", "ray_stage_spec"),
)
"""Of a stage in a spec, what `with_` takes as it is."""


def _overrides(spec: StageSpec, stage: Any) -> dict[str, Any]:
    changes: dict[str, Any] = {key: value for key in _SETTINGS if (value := getattr(spec, key)) is not None}
    if spec.resources is not None:
        from curator_slurm.executors import Resources

        given = spec.resources.model_dump(exclude_none=True)
        changes["resources"] = Resources(**given) if set(given) != {"group"} else _in_group(stage, given["group"])
    return changes


def _in_group(stage: Any, group: str) -> Any:
    """A stage's own resources, on the nodes of a group; of a composite stage, those of its last one."""
    last = stage.decompose()[-1] if hasattr(stage, "decompose") else stage
    resources = copy.copy(last.resources)
    resources.group = group
    return resources


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
