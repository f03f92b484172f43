"""Translates configuration keys to the specification classes of the installed cosmos-xenna.

The classes are attrs classes whose fields differ between versions. They are read here, never listed,
so that every option of the installed version is reachable and none of another version passes silently.
"""

from __future__ import annotations

import difflib
import enum
import importlib.metadata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import attrs
from cosmos_xenna.pipelines import v1

from curator_slurm.executors.backends.xenna.engine.names import nested_options
from curator_slurm.executors.known_options import ENGINE_OPTIONS, REFUSED, REFUSED_OF_STAGES, XENNA_DEFAULTS
from curator_slurm.executors.ray_stage_spec import ray_stage_spec
from curator_slurm.executors.requested_workers import workers_per_node

MODES = ("streaming", "batch")

_SOLVER = "FRAGMENTATION_BASED"
_GRACE = "scale_down_grace_after_ready_s"

# Taken over by the executor, so they never reach cosmos-xenna.
_INTERPRETED = {"execution_mode", "logging_interval_s", "ignore_failures", "cpu_allocation_percentage"}

# Quiet where cosmos-xenna is chatty; its status table stays, every `logging_interval` seconds.
_QUIET = {
    "actor_pool_verbosity_level": "NONE",
    "autoscaler_verbosity_level": "NONE",
    "executor_verbosity_level": "NONE",
}


class XennaOptionError(ValueError):
    """A configuration key that is unknown, not available in this version, or has a wrong value."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def xenna_version() -> str:
    """The version of the installed cosmos-xenna."""
    return importlib.metadata.version("cosmos-xenna")


@dataclass(frozen=True)
class XennaOptions:
    """The executor's configuration, checked and typed."""

    batch: bool
    logging_interval_s: float
    cpu_share: float
    max_workers_per_stage: int | None
    resource_monitor: bool
    autoscale_interval_s: float = 180.0
    """The longest time between two plans."""
    pipeline: dict[str, Any] = field(default_factory=dict)
    streaming: dict[str, Any] = field(default_factory=dict)

    @property
    def plans(self) -> bool:
        """Whether we decide when the engine plans: not in batch mode, nor with the scheduler that has its own clock."""
        return not self.batch and getattr(self.streaming.get("scheduler"), "name", _SOLVER) == _SOLVER

    def pipeline_config(self, *, return_outputs: bool = False, ask_s: float | None = None) -> v1.PipelineConfig:
        """The engine's own configuration object.

        `return_outputs`: the engine keeps them until the end. `ask_s`: the seconds between its questions for a plan,
        where we decide about plans; then it need not protect young workers from them, which newer versions do.
        """
        values = dict(self.streaming)
        if ask_s is not None:
            values["autoscale_interval_s"] = ask_s
            if _GRACE in _fields(v1.StreamingSpecificSpec, {}):
                values.setdefault(_GRACE, 0.0)
        streaming = None if self.batch else v1.StreamingSpecificSpec(**values)
        return v1.PipelineConfig(
            execution_mode=v1.ExecutionMode.BATCH if self.batch else v1.ExecutionMode.STREAMING,
            logging_interval_s=self.logging_interval_s,
            # Failures are handled by our adapter; an exception that still gets out must never be dropped.
            ignore_failures=False,
            return_last_stage_outputs=return_outputs,
            mode_specific=streaming,
            **self.pipeline,
        )


def parse_config(config: Mapping[str, Any], shared_keys: Iterable[str] = ()) -> XennaOptions:
    """Check ``config`` against the installed version; ``shared_keys`` belong to all back ends."""
    pipeline_fields = _fields(v1.PipelineConfig, REFUSED)
    streaming_fields = _fields(v1.StreamingSpecificSpec, {})
    known = {*XENNA_DEFAULTS, *pipeline_fields, *streaming_fields, *shared_keys}
    for key in config:
        _check_key(key, known, REFUSED)

    settings = {**XENNA_DEFAULTS, **config}
    mode = settings["execution_mode"]
    if mode not in MODES:
        raise XennaOptionError("execution_mode", f"execution_mode must be one of {', '.join(MODES)}, not {mode!r}")
    if "logging_interval_s" in config and "logging_interval" in config:
        raise XennaOptionError("logging_interval_s", "give logging_interval or logging_interval_s, not both")

    values = {**{key: _QUIET[key] for key in _QUIET if key not in config}, **settings}
    return XennaOptions(
        batch=mode == "batch",
        logging_interval_s=_positive(config, "logging_interval_s", _positive(settings, "logging_interval", 60.0)),
        cpu_share=_share(settings["cpu_allocation_percentage"]),
        max_workers_per_stage=_worker_limit(settings["max_workers_per_stage"]),
        resource_monitor=bool(settings["resource_monitor"]),
        autoscale_interval_s=_positive(settings, "autoscale_interval_s", 180.0),
        pipeline=_typed(values, pipeline_fields, skip=_INTERPRETED),
        streaming=_typed(values, streaming_fields, skip=()),
    )


@dataclass(frozen=True)
class StageOptions:
    """How many workers one stage gets and its own overrides of engine options."""

    num_workers: int | None
    num_workers_per_node: float | None
    ignore_failures: bool | None
    """Whether this stage skips or fails, where it differs from the executor; never given to the engine."""
    overrides: dict[str, Any]
    max_workers: int | None = None
    """Maximum number of workers, from `max_workers` in `ray_stage_spec()`."""

    def limit(self, *most: int | None) -> int | None:
        """The stage's own limit on its workers, or the lowest of these, if that is lower."""
        return min((value for value in (self.max_workers, *most) if value is not None), default=None)

    def workers(self, nodes: int) -> int | None:
        """The fixed number of workers, or None where the engine decides."""
        if self.num_workers is not None:
            return self.num_workers
        if self.num_workers_per_node is not None:
            return max(1, -int(-(self.num_workers_per_node * nodes) // 1))
        return None


def parse_stage(stage: Any) -> StageOptions:
    """Read ``num_workers()`` and ``xenna_stage_spec()`` of a stage, both optional."""
    spec = dict(_call(stage, "xenna_stage_spec") or {})
    fields = _fields(v1.StageSpec, REFUSED_OF_STAGES)
    name = getattr(stage, "name", type(stage).__name__)
    for key in spec:
        _check_key(key, set(fields), REFUSED_OF_STAGES, where=f" in xenna_stage_spec() of stage {name!r}")
    per_node = spec.pop("num_workers_per_node", workers_per_node(stage))
    ignore = spec.pop("ignore_failures", None)
    count = _call(stage, "num_workers")
    if count is not None and per_node is not None:
        raise XennaOptionError(
            "num_workers_per_node",
            f"stage {name!r} sets both num_workers() and num_workers_per_node; only one of them can decide",
        )
    for key, value in (("num_workers", count), ("num_workers_per_node", per_node)):
        if value is not None and value <= 0:
            raise XennaOptionError(key, f"{key} of stage {name!r} must be greater than 0, not {value!r}")
    most = ray_stage_spec(stage).get("max_workers")
    limit = _worker_limit(most, f"max_workers of stage {name!r}")
    return StageOptions(count, per_node, ignore, _typed(spec, fields, skip=()), limit)


def _call(stage: Any, method: str) -> Any:
    found = getattr(stage, method, None)
    return found() if callable(found) else found


def _fields(cls: type, owned: Mapping[str, str]) -> dict[str, Any]:
    return {f.name: f for f in attrs.fields(cls) if f.name not in owned}


def _check_key(key: str, known: set[str], owned: Mapping[str, str], where: str = "") -> None:
    if key in owned:
        raise XennaOptionError(key, f"`{key}` cannot be set{where}: {owned[key]}")
    if key in known:
        return
    if not where and key in ENGINE_OPTIONS:
        raise XennaOptionError(
            key,
            f"`{key}` is not an option of the installed cosmos-xenna {xenna_version()}; "
            f"version {ENGINE_OPTIONS[key]} has it",
        )
    near = difflib.get_close_matches(key, sorted(known), n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    raise XennaOptionError(
        key, f"`{key}` is not an option of XennaExecutor with cosmos-xenna {xenna_version()}{where}{hint}"
    )


def _typed(values: Mapping[str, Any], fields: Mapping[str, Any], skip: Iterable[str]) -> dict[str, Any]:
    return {key: _convert(fields[key], values[key]) for key in fields if key in values and key not in skip}


def _convert(attribute: Any, value: Any) -> Any:
    """Let enumerations and nested option classes be written as they are in YAML: by name, as a mapping."""
    if isinstance(attribute.default, enum.Enum) and not isinstance(value, enum.Enum):
        return _member(type(attribute.default), attribute.name, value)
    if isinstance(value, Mapping) and attribute.name == "saturation_aware":
        options = nested_options()
        if options is None:
            raise XennaOptionError(
                "saturation_aware", f"cosmos-xenna {xenna_version()} does not take `saturation_aware` as a mapping"
            )
        known = {nested.name for nested in attrs.fields(options)}
        for key in value:
            _check_key(key, known, {}, where=" in `saturation_aware`")
        return options(**value)
    return value


def _member(kind: type[enum.Enum], key: str, value: Any) -> enum.Enum:
    for member in kind:
        if value == member.value or str(value).upper() == member.name:
            return member
    choices = ", ".join(member.name for member in kind)
    raise XennaOptionError(key, f"{key} must be one of {choices}, not {value!r}")


def _positive(values: Mapping[str, Any], key: str, default: float) -> float:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise XennaOptionError(key, f"{key} must be a number of seconds greater than 0, not {value!r}")
    return float(value)


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise XennaOptionError(
            "cpu_allocation_percentage",
            f"cpu_allocation_percentage must be greater than 0 and at most 1 (0.95 is 95 %), not {value!r}",
        )
    return float(value)


def _worker_limit(value: Any, name: str = "max_workers_per_stage") -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise XennaOptionError(name.partition(" ")[0], f"{name} must be a whole number from 1, not {value!r}")
    return value
