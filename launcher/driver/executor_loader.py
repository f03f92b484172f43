"""Makes the executor of a plan's `executor` section: one of ours, NeMo Curator's, or any other."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.pipeline_loader import import_named
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.value_types import Backend

_NEEDS = {
    Backend.XENNA: ("cosmos-xenna", ("cosmos_xenna",)),
    Backend.RAY_DATA: ("ray[data]", ("pyarrow", "pandas", "fsspec")),
    Backend.RAY_ACTOR_POOL: ("ray", ("ray",)),
}
"""What an image may lack: a package, and the modules that come with it."""


def load_executor(spec: Spec) -> Any:
    """The executor of the spec, made before the cluster is up, so that a wrong name or option fails at once.

    Raises:
        PipelineLoadError: there is no executor of that name, or `executor.config` or `failures` do not fit it, or this
            Python lacks what it is built on.
    """
    failures = spec.failures.of_executor
    config = dict(spec.executor.config)
    backend = spec.executor.backend
    try:
        if isinstance(backend, Backend):
            _check_packages(backend, in_image=spec.environment.container is not None)
            from curator_slurm.executors.backend_registry import make_executor

            return make_executor(backend.value, {**config, **failures})
        return _foreign(backend, config, failures)
    except (ValueError, TypeError) as error:
        raise PipelineLoadError(
            f"executor.config: {error}", FailureClass.APP_FAILED, "change executor.config in the spec"
        ) from error


def _check_packages(backend: Backend, *, in_image: bool) -> None:
    """
    Raises:
        PipelineLoadError: this Python has not the packages of the back end.
    """
    package, _ = _NEEDS[backend]
    missing = _missing(backend)
    if not missing:
        return
    place = "the image" if in_image else "that environment"
    others = [each.value for each in Backend if each is not backend and not _missing(each)]
    choose = f", or set executor.backend to one that can run there: {', '.join(others)}" if others else ""
    raise PipelineLoadError(
        f"executor.backend: {backend.value} needs {package}, and {sys.executable}"
        f"{' in the container' if in_image else ''} has no module {', '.join(missing)}",
        FailureClass.ENVIRONMENT,
        f"add it to {place} (pip install '{package}'), or name the interpreter that has it with "
        f"environment.python{choose}",
    )


def _missing(backend: Backend) -> list[str]:
    return [module for module in _NEEDS[backend][1] if importlib.util.find_spec(module) is None]


def _foreign(entry: str, config: dict[str, Any], failures: Mapping[str, Any]) -> Any:
    """An executor given as `module:Class`; its config is passed on unchanged."""
    from curator_slurm.executors.base import BaseExecutor
    from curator_slurm.executors.run.watched import watched

    made: Any = import_named(entry, "executor.backend")
    if not isinstance(made, type) or not callable(getattr(made, "execute", None)):
        raise PipelineLoadError(
            f"executor.backend: {entry} is not an executor: it must be a class with a method execute(stages, tasks)",
            FailureClass.APP_FAILED,
            "give the class of an executor",
        )
    make: Any = made
    ours = issubclass(made, BaseExecutor)
    if failures and not ours:
        raise PipelineLoadError(
            f"failures.{next(iter(failures))}: {made.__name__} does not take curator-slurm's failure policy",
            FailureClass.APP_FAILED,
            "remove `failures` and use the options of its executor.config, or choose xenna, ray_data or ray_actor_pool",
        )
    return make({**config, **failures}) if ours else watched(make(config))
