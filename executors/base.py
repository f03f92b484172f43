"""What all executors have in common."""

from __future__ import annotations

import copy
import difflib
import logging
import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from curator_slurm.executors.known_options import COMMON_KEYS, LEFT_OUT, RESOURCE_WAIT
from curator_slurm.executors.ray_stage_spec import checked_ray_stage_spec
from curator_slurm.executors.requested_workers import fixed_workers
from curator_slurm.executors.task_failures import FailurePolicy
from curator_slurm.executors.tasks import EmptyTask, assign_root_task_ids

log = logging.getLogger(__name__)


class ExperimentalWarning(UserWarning):
    """An executor whose behaviour may still change; filter it with warnings.simplefilter."""


class BaseExecutor(ABC):
    """Runs the stages of a pipeline.

    `config` holds the executor's own options and the failure policy (`on_task_error`, `task_retries`,
    `max_failed_tasks`, `task_timeout_s`, `ignore_failures`); a key that is unknown is an error with a suggestion.
    `resource_wait_timeout_s` is how long a run waits while no node can hold a worker of a stage, at its start and after
    a loss, and `resource_wait_interval_s` how often it looks. `ignore_head_node`, here or in `config`, keeps workers
    off Ray's head node.
    """

    CONFIG_DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    supports_checkpoint: ClassVar[bool] = True
    """Whether it records finished source partitions and skips them, where `Pipeline.run` has a `checkpoint_path`."""

    def __init__(self, config: Mapping[str, Any] | None = None, ignore_head_node: bool = False) -> None:
        self.config = self._without_others_options(config or {})
        self.check_config()
        ignored = self.config.get("ignore_head_node", False)
        if not isinstance(ignored, bool):
            raise ValueError(f"ignore_head_node must be true or false, not {ignored!r}")
        self.ignore_head_node = ignore_head_node or ignored or _head_node_ignored()
        self.policy = FailurePolicy.from_config(self.config)
        self.resource_wait = resource_wait(self.config)
        """Seconds that a run waits for a node that could hold its workers (None: as usual), and between looks."""

    def _without_others_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        classes = {cls.__name__ for cls in type(self).__mro__}
        others = {key: owner for key, owner in LEFT_OUT.items() if key in config and owner not in classes}
        for key, owner in others.items():
            log.warning("%s ignores %r, an option of %s", type(self).__name__, key, owner)
        return {key: value for key, value in config.items() if key not in others}

    def check_config(self) -> None:
        """Refuse unknown keys.

        Raises:
            ValueError: with the nearest known key.
        """
        check_keys(type(self).__name__, self.config, [*self.CONFIG_DEFAULTS, *COMMON_KEYS])

    def check_stages(self, stages: Sequence[Any]) -> None:
        """Refuse what stages ask of this executor and no cluster could give; needs no Ray.

        Raises:
            ValueError: names the stage and its option.
        """
        for stage in stages:
            checked_ray_stage_spec(stage)
            fixed_workers(stage, lambda: 1)

    def option(self, key: str) -> Any:
        """A value of the config, or its default."""
        return self.config.get(key, self.CONFIG_DEFAULTS.get(key))

    @abstractmethod
    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        """Run the stages on the initial tasks (none: one EmptyTask); the tasks that leave the last stage."""

    @staticmethod
    def first_tasks(initial_tasks: list[Any] | None) -> list[Any]:
        """What the first stage gets: the tasks, and copies of those that are given more than once.

        Where ids are missing or not unique, all tasks get new ones.
        """
        tasks = _distinct(initial_tasks or [EmptyTask()])
        ids = {str(getattr(task, "task_id", "")) for task in tasks}
        if len(ids) < len(tasks) or "" in ids:
            assign_root_task_ids(tasks)
        return tasks


def _distinct(tasks: list[Any]) -> list[Any]:
    """The tasks as distinct objects with distinct metadata: what tasks share stays shared when they are pickled."""
    seen: set[int] = set()
    own = []
    for task in tasks:
        if id(task) in seen:
            task = copy.copy(task)
            task._stage_perf = list(task._stage_perf)
        metadata = getattr(task, "_metadata", None)
        if type(metadata) is dict and id(metadata) in seen:
            task._metadata = dict(metadata)
        seen |= {id(task), id(metadata)}
        own.append(task)
    return own


def resource_wait(config: Mapping[str, Any]) -> tuple[float | None, float]:
    """How long to wait for resources, and how often to look.

    Raises:
        ValueError: one of them is no time.
    """
    values = {**RESOURCE_WAIT, **{key: config[key] for key in RESOURCE_WAIT if key in config}}
    timeout, interval = values.values()
    for key, least in zip(values, (0.0, 0.01), strict=True):
        value = values[key]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (least == 0.0 and value is None) and not (number and least <= value < math.inf):
            raise ValueError(f"{key} must be seconds, at least {least:g}, not {value!r}")
    return timeout, interval


def check_keys(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError for the first key that is not known, with the nearest one that is."""
    names = sorted(known)
    for key in given:
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
            raise ValueError(f"{owner} has no option {key!r}; {hint}")


_warned: set[str] = set()


def warn_experimental(name: str) -> None:
    """Warn once in a process that an executor is experimental."""
    if name not in _warned:
        _warned.add(name)
        warnings.warn(f"{name} is experimental: its options may still change", ExperimentalWarning, stacklevel=3)


def _head_node_ignored() -> bool:
    """NeMo Curator's switch for all executors."""
    return os.environ.get("CURATOR_IGNORE_RAY_HEAD_NODE", "").strip().lower() in ("1", "true", "yes")
