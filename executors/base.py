"""What every executor has in common: its constructor, its settings, where a worker runs."""

from __future__ import annotations

import difflib
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from curator_slurm.executors.errors import ConfigurationError, ExperimentalExecutorWarning
from curator_slurm.executors.policy import FailurePolicy

_TRUE = {"1", "true", "yes"}


@dataclass
class NodeInfo:
    """The node that ``setup_on_node`` runs on."""

    node_id: str = ""


@dataclass
class WorkerMetadata:
    """The worker that a stage runs in; ``allocation`` is whatever the engine says about its resources."""

    worker_id: str = ""
    allocation: Any = None


class BaseExecutor(ABC):
    """Runs a list of stages. Subclasses say which settings they know."""

    backend: ClassVar[str] = ""
    config_keys: ClassVar[frozenset[str]] = frozenset()
    experimental: ClassVar[bool] = False
    _warned: ClassVar[set[str]] = set()

    def __init__(self, config: Mapping[str, Any] | None = None, ignore_head_node: bool = False) -> None:
        self.config: dict[str, Any] = dict(config or {})
        self.ignore_head_node = (
            ignore_head_node or os.environ.get("CURATOR_IGNORE_RAY_HEAD_NODE", "").strip().lower() in _TRUE
        )
        self.pipeline_name = "pipeline"
        self.checkpoint_path: str | None = None
        check_keys(self.config, self.config_keys | FailurePolicy.KEYS, f"{type(self).__name__} config")
        self.policy = FailurePolicy.from_config(self.config)
        if self.experimental and self.backend not in self._warned:
            self._warned.add(self.backend)
            warnings.warn(
                f"{type(self).__name__} is experimental: its scheduling and settings may still change",
                ExperimentalExecutorWarning,
                stacklevel=3,
            )

    @abstractmethod
    def execute(self, stages: Sequence[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        """Run the stages over the initial tasks (one ``EmptyTask`` if there are none); return the last stage's tasks."""


def check_keys(given: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    """Raise for settings that do not exist, with the nearest one that does."""
    problems = []
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), sorted(known), n=1)
        problems.append(f"`{key}` is not a setting" + (f"; did you mean `{near[0]}`?" if near else ""))
    if problems:
        raise ConfigurationError(f"{where}: " + "; ".join(problems) + f". Known: {', '.join(sorted(known))}")
