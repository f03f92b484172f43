"""ProcessingStage: what a user writes. Names, arguments and defaults are NeMo Curator's."""

from __future__ import annotations

import copy
import logging
import time
import types
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, Union, final, get_args, get_origin, get_type_hints

from curator_slurm.executors.resources import Resources

if TYPE_CHECKING:
    from curator_slurm.executors.base import NodeInfo, WorkerMetadata

logger = logging.getLogger(__name__)

X = TypeVar("X")
Y = TypeVar("Y")
InputSpec = tuple[list[str], list[str]]
InputSpecs = InputSpec | dict[type, InputSpec]


class _Unset:
    """Tells "not given" from ``None`` where ``None`` is a value."""


_UNSET = _Unset()
_FRAMEWORK_OWNED = ("_name", "_resources", "_batch_size")
_PLAIN_ATTRIBUTES = ("name", "resources", "batch_size", "runtime_env")


class _Constant:
    """A method of one instance that returns a fixed value; unlike a lambda it can be pickled by name."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self) -> Any:
        return dict(self._value) if isinstance(self._value, dict) else self._value


class ProcessingStage(ABC, Generic[X, Y]):
    """One step of a pipeline: turns a task into a task, several tasks, or nothing.

    ``process`` returns a task, a list of tasks (fan-out), or ``None`` (drop the task). Override ``process_batch``
    to see ``batch_size`` tasks at once; return one result per task, in order, to keep task ids traceable.
    """

    name = "ProcessingStage"
    resources = Resources(cpus=1.0)
    batch_size = 1
    runtime_env: ClassVar[dict[str, Any] | None] = None

    is_source_stage: bool = False
    is_sink_stage: bool = False
    is_resumable: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attr in _FRAMEWORK_OWNED:
            if attr in cls.__dict__:
                raise TypeError(f"{cls.__name__} must not override '{attr}'")
        for attr in _PLAIN_ATTRIBUTES:
            if isinstance(cls.__dict__.get(attr), property):
                raise TypeError(
                    f"{cls.__name__} defines '{attr}' as a property; make it a class attribute or a dataclass field, "
                    "so that with_() can change it"
                )
        own = cls.__dict__.get("num_workers")
        annotated = "num_workers" in cls.__dict__.get("__annotations__", {})
        if (own is not None and not callable(own)) or (own is None and annotated):
            raise TypeError(
                f"{cls.__name__} must not define 'num_workers' as a stage attribute: it is a method; "
                "override num_workers(), or give the field another name"
            )

    @property
    @final
    def _name(self) -> str:
        return self.name

    @property
    @final
    def _resources(self) -> Resources:
        return self.resources

    @property
    @final
    def _batch_size(self) -> int | None:
        return self.batch_size

    # ---- what a stage does

    @abstractmethod
    def process(self, task: X) -> Y | list[Y] | None:
        """Work on one task."""

    def process_batch(self, tasks: list[X]) -> list[Any]:
        """Work on several tasks. This default calls ``process`` for each; executors then do that themselves."""
        results: list[Any] = []
        for task in tasks:
            if not self.validate_input(task):
                raise ValueError(f"{task!s} is not a valid input of stage {self.name}")
            result = self.process(task)
            if isinstance(result, list):
                results.extend(result)
            else:
                results.append(result)
        return results

    def setup_on_node(self, node_info: NodeInfo | None = None, worker_metadata: WorkerMetadata | None = None) -> None:
        """Runs once per node, before any ``setup`` there: downloads and the like."""

    def setup(self, worker_metadata: WorkerMetadata | None = None) -> None:
        """Runs once per worker, before its first task: load the model."""

    def teardown(self) -> None:
        """Runs once per worker after its last task."""

    def supports_batch_processing(self) -> bool:
        """Whether the stage has a ``process_batch`` of its own."""
        return type(self).process_batch is not ProcessingStage.process_batch

    # ---- what a stage declares

    def num_workers(self) -> int | None:
        """A fixed number of workers, or ``None`` to let the executor decide."""
        return None

    def inputs(self) -> InputSpecs:
        """Attributes and data columns that a task must have; may be given per task type."""
        return [], []

    def outputs(self) -> InputSpec:
        """Attributes and data columns that this stage adds or changes."""
        return [], []

    def xenna_stage_spec(self) -> dict[str, Any]:
        """Settings of this stage that only Xenna reads."""
        return {}

    def ray_stage_spec(self) -> dict[str, Any]:
        """Settings of this stage that only the Ray executors read."""
        return {"is_fanout_stage": self.is_fanout_stage()}

    def is_fanout_stage(self) -> bool:
        """Whether ``process`` is annotated to return a list."""
        try:
            hints = get_type_hints(type(self).process)
        except (AttributeError, NameError, TypeError):
            return False
        return _mentions_list(hints.get("return"))

    # ---- checks

    def validate_input(self, task: Any) -> bool:
        """Whether the task has what ``inputs`` asks for; logs what is missing."""
        try:
            attributes, columns = self.input_spec_for_task(task)
        except TypeError as error:
            logger.error("%s", error)
            return False
        get_columns = getattr(task, "get_columns", None)
        data = getattr(task, "data", None)
        present = get_columns() if callable(get_columns) else getattr(data, "column_names", ())
        missing = [a for a in attributes if not hasattr(task, a)]
        missing += [c for c in columns if not hasattr(data, c) and c not in present]
        if missing:
            logger.error("stage %s: task %s lacks %s", self.name, getattr(task, "task_id", "?"), ", ".join(missing))
        return not missing

    def input_spec_for_task(self, task: Any) -> InputSpec:
        """The part of ``inputs`` that applies to this task; the nearest class of its MRO wins."""
        specs = self.inputs()
        if isinstance(specs, dict):
            for cls in type(task).__mro__:
                if cls in specs:
                    return _checked_spec(specs[cls], self.name, f"inputs()[{cls.__name__}]")
            known = ", ".join(cls.__name__ for cls in specs) or "none"
            raise TypeError(f"stage {self.name} does not take {type(task).__name__} tasks; it takes: {known}")
        return _checked_spec(specs, self.name, "inputs()")

    # ---- changes

    def with_(
        self,
        name: str | None = None,
        resources: Resources | None = None,
        batch_size: int | None = None,
        runtime_env: dict[str, Any] | None = None,
        ray_stage_spec: dict[str, Any] | None = None,
        xenna_stage_spec: dict[str, Any] | None = None,
        num_workers: int | None | _Unset = _UNSET,
    ) -> ProcessingStage[X, Y]:
        """A copy of the stage with some settings changed; the two spec dicts are merged into the stage's own."""
        changed: Any = copy.deepcopy(self)
        plain = {"name": name, "resources": resources, "batch_size": batch_size, "runtime_env": runtime_env}
        for attribute, value in plain.items():
            if value is not None:
                setattr(changed, attribute, value)
        if ray_stage_spec is not None:
            changed.ray_stage_spec = _Constant({**changed.ray_stage_spec(), **ray_stage_spec})
        if xenna_stage_spec is not None:
            if "num_workers" in xenna_stage_spec:
                raise ValueError("give num_workers to with_() itself, not in xenna_stage_spec")
            changed.xenna_stage_spec = _Constant({**changed.xenna_stage_spec(), **xenna_stage_spec})
        if not isinstance(num_workers, _Unset):
            changed.num_workers = _Constant(num_workers)
        return changed  # type: ignore[no-any-return]

    def get_config(self) -> dict[str, Any]:
        """Name, resources and batching, for logs."""
        return {
            "name": self.name,
            "resources": self.resources,
            "batch_size": self.batch_size,
            "supports_batch_processing": self.supports_batch_processing(),
        }

    def __repr__(self) -> str:
        return type(self).__name__

    # ---- metrics of the current batch

    def _log_metrics(self, metrics: dict[str, float]) -> None:
        """Record numbers that end up in the performance record of the batch."""
        recorded = self.__dict__.setdefault("_custom_metrics", {})
        for name, value in metrics.items():
            if isinstance(value, (int, float)):
                recorded[name] = float(value)
            else:
                logger.warning("stage %s: metric %s is not a number: %r", self.name, name, value)

    def _log_metric(self, name: str, value: float) -> None:
        self._log_metrics({name: value})

    @contextmanager
    def _time_metric(self, name: str) -> Iterator[None]:
        """Record how long a block took, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._log_metric(name, time.perf_counter() - start)

    def _consume_custom_metrics(self) -> dict[str, float]:
        """The metrics recorded since the last call; the executor calls it after each batch."""
        return dict(self.__dict__.pop("_custom_metrics", None) or {})


def _mentions_list(annotation: object) -> bool:
    origin = get_origin(annotation)
    if annotation is list or origin is list:
        return True
    if origin in (types.UnionType, Union):
        return any(_mentions_list(arg) for arg in get_args(annotation))
    return False


def _checked_spec(spec: object, stage: str, where: str) -> InputSpec:
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise TypeError(f"stage {stage}: {where} must be a pair of lists (attributes, columns)")
    return spec
