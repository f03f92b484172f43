"""Stages: what a pipeline is made of. Names, arguments and defaults are NeMo Curator's."""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, ClassVar, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from curator_slurm.executors.missing_input import missing_input, refusal
from curator_slurm.executors.requested_workers import fixed_workers
from curator_slurm.executors.resources import Resources
from curator_slurm.executors.tasks import Task

X = TypeVar("X", bound=Task[Any])
Y = TypeVar("Y", bound=Task[Any])
InputSpec = tuple[list[str], list[str]]

log = logging.getLogger(__name__)


class _Unset:
    pass


_UNSET = _Unset()


class ProcessingStage(ABC, Generic[X, Y]):
    """One step of a pipeline: maps tasks to tasks.

    A subclass implements `process` (one task) or overrides `process_batch` (a list of `batch_size` tasks), and may
    override `setup_on_node` (once per node), `setup` (once per worker) and `teardown`. `name`, `resources`,
    `batch_size` and `runtime_env` are class or instance attributes, never properties, so that `with_` can set them.
    """

    name: str = "ProcessingStage"
    resources: Resources = Resources(cpus=1.0)
    batch_size: int | None = 1
    runtime_env: ClassVar[dict[str, Any] | None] = None
    is_source_stage: bool = False
    is_sink_stage: bool = False
    is_resumable: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attribute in ("name", "resources", "batch_size", "runtime_env"):
            if isinstance(cls.__dict__.get(attribute), property):
                raise TypeError(
                    f"{cls.__name__}.{attribute} must be a plain attribute, not a property: with_() could not set it"
                )
        for method in ("num_workers", "num_workers_per_node"):
            if not callable(cls.__dict__.get(method, len)):
                raise TypeError(f"{cls.__name__}.{method} must be a method; override {method}()")

    # -- processing ----------------------------------------------------------------------------------------------

    @abstractmethod
    def process(self, task: X) -> Y | list[Y] | None:
        """One task in; one out, several out, or None to filter it."""

    def process_batch(self, tasks: list[X]) -> list[Y | None]:
        """A batch in, a list out: one result for each task where possible, None for a filtered one.

        Stages do not set task ids: the executor assigns them to whatever is returned.
        """
        results: list[Y | None] = []
        for task in tasks:
            if not self.validate_input(task):
                raise refusal(self, task)
            result = self.process(task)
            if isinstance(result, list):
                results.extend(result)
            else:
                results.append(result)
        return results

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        """Prepare a node (download a model, say): once per node, before any `setup` there."""

    def setup(self, worker_metadata: Any = None) -> None:
        """Prepare a worker (load the model): once per worker."""

    def teardown(self) -> None:
        """Clean up a worker at its end."""

    # -- what it declares --------------------------------------------------------------------------------

    def inputs(self) -> Any:
        """The required (attributes of the task, columns or attributes of its data); or a mapping from task type to such
        a pair."""
        return [], []

    def outputs(self) -> InputSpec:
        """The same for the output."""
        return [], []

    def num_workers(self) -> int | None:
        """A fixed number of workers; None leaves it to the executor."""
        return None

    def num_workers_per_node(self) -> float | None:
        """A fixed number of workers for each node, fractions too; None leaves it to the executor."""
        return None

    def xenna_stage_spec(self) -> dict[str, Any]:
        """Options for cosmos-xenna."""
        return {}

    def ray_stage_spec(self) -> dict[str, Any]:
        """Options for the Ray executors."""
        return {"is_fanout_stage": self.is_fanout_stage()}

    def is_fanout_stage(self) -> bool:
        """Whether `process` is annotated to return a list."""
        try:
            return _mentions_list(get_type_hints(type(self).process).get("return"))
        except (AttributeError, NameError, TypeError):
            return False

    def supports_batch_processing(self) -> bool:
        """Whether `process_batch` is overridden."""
        return type(self).process_batch is not ProcessingStage.process_batch

    def get_config(self) -> dict[str, Any]:
        """Name, resources, batch size, and whether it takes batches."""
        return {
            "name": self.name,
            "resources": self.resources,
            "batch_size": self.batch_size,
            "supports_batch_processing": self.supports_batch_processing(),
        }

    def input_spec_for_task(self, task: Any) -> InputSpec:
        """The part of `inputs()` that applies to this task's type.

        Raises:
            TypeError: the stage does not take tasks of this type, or `inputs()` is malformed.
        """
        specs = self.inputs()
        if isinstance(specs, Mapping):
            for kind in type(task).__mro__:
                if kind in specs:
                    specs = specs[kind]
                    break
            else:
                known = ", ".join(kind.__name__ for kind in specs) or "none"
                raise TypeError(f"stage {self.name!r} does not take a {type(task).__name__}; it takes: {known}")
        if not isinstance(specs, tuple) or len(specs) != 2:
            raise TypeError(f"inputs() of stage {self.name!r} must be a pair of lists, or map task types to pairs")
        return specs

    def validate_input(self, task: Any) -> bool:
        """Whether the task has what `inputs()` asks for; what is missing is logged."""
        missing = missing_input(self, task)
        if missing:
            log.error("%s", missing)
        return not missing

    # -- changes -----------------------------------------------------------------------------------------------

    def with_(
        self,
        name: str | None = None,
        resources: Resources | None = None,
        batch_size: int | None = None,
        runtime_env: dict[str, Any] | None = None,
        ray_stage_spec: Mapping[str, Any] | None = None,
        xenna_stage_spec: Mapping[str, Any] | None = None,
        num_workers: int | _Unset | None = _UNSET,
        num_workers_per_node: float | _Unset | None = _UNSET,
    ) -> ProcessingStage[X, Y]:
        """A copy with other settings; keys of the two specs override the stage's own.

        Raises:
            ValueError: `num_workers` inside `xenna_stage_spec`, where it has its own argument, or together with
                `num_workers_per_node`.
        """
        if xenna_stage_spec is not None and "num_workers" in xenna_stage_spec:
            raise ValueError("pass num_workers to with_(), not inside xenna_stage_spec")
        changed = copy.deepcopy(self)
        given = {"name": name, "resources": resources, "batch_size": batch_size, "runtime_env": runtime_env}
        for attribute, value in given.items():
            if value is not None:
                setattr(changed, attribute, value)
        for method, spec in (("ray_stage_spec", ray_stage_spec), ("xenna_stage_spec", xenna_stage_spec)):
            if spec is not None:
                setattr(changed, method, _Constant({**getattr(changed, method)(), **spec}))
        if not isinstance(num_workers, _Unset):
            changed.num_workers = _Constant(num_workers)  # type: ignore[method-assign]
        if not isinstance(num_workers_per_node, _Unset):
            changed.num_workers_per_node = _Constant(num_workers_per_node)  # type: ignore[method-assign]
        if not isinstance(num_workers, _Unset) or not isinstance(num_workers_per_node, _Unset):
            fixed_workers(changed, lambda: 1)
        return changed

    # -- metrics -----------------------------------------------------------------------------------------------

    def _log_metric(self, name: str, value: float) -> None:
        self._log_metrics({name: value})

    def _log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Attach numbers to the performance record of the call that is running."""
        recorded = self.__dict__.setdefault("_custom_metrics", {})
        for name, value in metrics.items():
            if isinstance(value, (int, float)):
                recorded[name] = float(value)
            else:
                log.warning("metric %s=%r of stage %r is not a number", name, value, self.name)

    @contextlib.contextmanager
    def _time_metric(self, name: str) -> Iterator[None]:
        """Record the seconds a block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._log_metric(name, time.perf_counter() - began)

    def _consume_custom_metrics(self) -> dict[str, float]:
        return dict(self.__dict__.pop("_custom_metrics", {}))

    def __repr__(self) -> str:
        return type(self).__name__


class _Constant:
    """A method that returns a constant; picklable, unlike a closure."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        return dict(self.value) if isinstance(self.value, dict) else self.value


class CompositeStage(ProcessingStage[X, Y], ABC):
    """Several stages under one name: `decompose` returns them; a composite stage never runs itself."""

    def __init__(self) -> None:
        self._with_operations: list[dict[str, dict[str, Any]]] = []

    @abstractmethod
    def decompose(self) -> list[ProcessingStage[Any, Any]]:
        """The stages that run in its place."""

    def with_(  # type: ignore[override]
        self, stage_with_dict: Mapping[str, dict[str, Any]] | None = None, **changes: Any
    ) -> CompositeStage[X, Y]:
        """Settings for the inner stages: stage name -> arguments of its `with_`. Keywords are for the last one."""
        operations = self.__dict__.setdefault("_with_operations", [])
        if stage_with_dict:
            operations.append(dict(stage_with_dict))
        if changes:
            operations.append({self.decompose()[-1].name: changes})
        return self

    def decompose_and_apply_with(self) -> list[ProcessingStage[Any, Any]]:
        """The inner stages with the settings given through `with_`.

        Raises:
            ValueError: an inner stage of that name is missing, or two share one name.
        """
        stages = self.decompose()
        for changes in self.__dict__.get("_with_operations", []):
            names = [stage.name for stage in stages]
            if len(set(names)) != len(names):
                raise ValueError(f"stages of {self.name!r} need unique names for with_(): {names}")
            unknown = [name for name in changes if name not in names]
            if unknown:
                raise ValueError(f"{self.name!r} has no stage {unknown[0]!r}; it has {names}")
            stages = [stage.with_(**changes[stage.name]) if stage.name in changes else stage for stage in stages]
        return stages

    def inputs(self) -> Any:
        return self.decompose()[0].inputs()

    def outputs(self) -> InputSpec:
        return self.decompose()[-1].outputs()

    def process(self, task: X) -> Y | list[Y] | None:  # noqa: ARG002
        raise RuntimeError(f"{self.name!r} is a composite stage: add it to a Pipeline, which runs its parts")

    def get_description(self) -> str:
        """One line about the stage."""
        return f"Composite stage: {self.name}"


class FunctionStage(ProcessingStage[Any, Any]):
    """A stage around a function of one task."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def process(self, task: Any) -> Any:
        result = self.function(task)
        for output in result if isinstance(result, list) else [result]:
            if output is not None and output is not task:
                output._metadata = {**task._metadata, **output._metadata}
                output._stage_perf = list(task._stage_perf)
        return result


def processing_stage(
    *, name: str, resources: Resources | Mapping[str, Any] | None = None, batch_size: int | None = None
) -> Callable[[Callable[[Any], Any]], FunctionStage]:
    """Turn a function of one task into a stage: what it decorates becomes a stage object.

    Raises:
        ValueError: the function does not take exactly one argument.
    """

    def decorate(function: Callable[[Any], Any]) -> FunctionStage:
        if len(inspect.signature(function).parameters) != 1:
            raise ValueError("a stage function takes exactly one argument, the task")
        stage = FunctionStage(function)
        stage.name = name
        stage.resources = Resources(**resources) if isinstance(resources, Mapping) else resources or Resources()
        stage.batch_size = batch_size
        return stage

    return decorate


def _mentions_list(annotation: Any) -> bool:
    if annotation is list or get_origin(annotation) is list:
        return True
    if get_origin(annotation) in (UnionType, Union):
        return any(_mentions_list(part) for part in get_args(annotation))
    return False
