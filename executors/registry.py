"""Executors by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from curator_slurm.executors.errors import ConfigurationError

BACKENDS = {
    "xenna": "curator_slurm.executors.backends.xenna:XennaExecutor",
    "ray_data": "curator_slurm.executors.backends.ray_data:RayDataExecutor",
    "ray_actor_pool": "curator_slurm.executors.backends.ray_actor_pool:RayActorPoolExecutor",
}


def executor_class(backend: str) -> Any:
    """The class behind a short name or a ``module:Class``."""
    target = BACKENDS.get(backend, backend)
    module_name, _, class_name = target.partition(":")
    if not class_name:
        near = difflib.get_close_matches(backend, BACKENDS, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ConfigurationError(f"no executor `{backend}`{hint} Known: {', '.join(BACKENDS)}, or module:Class")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"executor {target} cannot be imported: {error}") from error


def make_executor(backend: str, config: Mapping[str, Any] | None = None) -> Any:
    """An executor, configured. ``ignore_head_node`` may stand in the config, where specs keep it."""
    settings = dict(config or {})
    cls = executor_class(backend)
    if "ignore_head_node" in settings:
        return cls(ignore_head_node=bool(settings.pop("ignore_head_node")), config=settings)
    return cls(settings)
