"""Makes the executor of a plan's `executor` section: one of ours, NeMo Curator's, or any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator_slurm.launcher.driver.load_error import PipelineLoadError
from curator_slurm.launcher.driver.pipeline_loader import import_named
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.model import Spec
from curator_slurm.launcher.spec.value_types import Backend


def load_executor(spec: Spec) -> Any:
    """The executor of the spec, made before the cluster is up, so that a wrong name or option fails at once.

    Raises:
        PipelineLoadError: there is no executor of that name, or `executor.config` or `failures` do not fit it.
    """
    failures = spec.failures.of_executor
    config = dict(spec.executor.config)
    backend = spec.executor.backend
    try:
        if isinstance(backend, Backend):
            from curator_slurm.executors.backend_registry import make_executor

            return make_executor(backend.value, {**config, **failures})
        return _foreign(backend, config, failures)
    except (ValueError, TypeError) as error:
        raise PipelineLoadError(
            f"executor.config: {error}", FailureClass.APP_FAILED, "change executor.config in the spec"
        ) from error


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
