"""The section `restart` of a spec: after which ends a run goes on by itself, how, and how often."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, WithJsonSchema, model_validator

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.value_types import Memory, Number, OrPlain, Section, Whole, as_list, problem

RESTARTABLE: Sequence[FailureClass] = (
    FailureClass.PREEMPTED,
    FailureClass.REQUEUED,
    FailureClass.NODE_FAILED,
    FailureClass.TIME_LIMIT,
    FailureClass.BOOTSTRAP_TIMEOUT,
    FailureClass.PORT_CONFLICT,
    FailureClass.STORAGE,
)
"""Ends that the pipeline is not to blame for: another attempt may go well with nothing changed."""
_DEFAULT = tuple(each for each in RESTARTABLE if each is not FailureClass.STORAGE)
_NEVER = {
    FailureClass.OUT_OF_MEMORY: "out of memory restarts where `restart.on_out_of_memory` says what is to change",
    FailureClass.APP_FAILED: "it would fail again; `curator-slurm retry` is for when that is fixed",
    FailureClass.ENVIRONMENT: "it would fail again; `curator-slurm retry` is for when that is fixed",
    FailureClass.CANCELLED: "what was cancelled stays so until `curator-slurm retry`",
}
CHAIN_LINKS = 4
"""Jobs that a chain has beside the first, unless `max_restarts` says how many."""
MAX_RESTARTS = 50


class Mechanism(StrEnum):
    """How a run goes on after its job has ended."""

    AUTO = "auto"
    REQUEUE = "requeue"
    RESUBMIT = "resubmit"
    CHAIN = "chain"
    OFF = "off"


_MECHANISM_SCHEMA = {"enum": [*(each.value for each in Mechanism), False]}


def plain_mechanism(value: Any) -> Any:
    """A text is the mechanism, and nothing else is said; other readers of YAML make false of `off`."""
    return {"mechanism": value} if isinstance(value, str) or value is False else value


def _off(value: Any) -> Any:
    return Mechanism.OFF if value is False else value


def _cause(value: Any) -> Any:
    known = [each.value for each in RESTARTABLE]
    if value in known:
        return FailureClass(value)
    why = next((words for name, words in _NEVER.items() if name == value), None)
    raise ValueError(f"{value} cannot be restarted after: {why}" if why else f"must be among {', '.join(known)}")


_NAMES = [each.value for each in RESTARTABLE]
Cause = Annotated[FailureClass, BeforeValidator(_cause), WithJsonSchema({"enum": _NAMES})]
CauseList = Annotated[
    list[Cause],
    BeforeValidator(as_list),
    WithJsonSchema({"anyOf": [{"enum": _NAMES}, {"type": "array", "items": {"enum": _NAMES}}]}),
]
_GROWTH = re.compile(r"x([0-9]{1,3}(?:\.[0-9]{1,3})?)")


def _growth(value: str) -> str:
    match = _GROWTH.fullmatch(value)
    if match is None or float(match[1]) <= 1:
        raise ValueError("must be a factor above 1 with an x before it, such as x1.5")
    return value


class MemoryRule(Section):
    """What changes after an attempt that ran out of memory."""

    mem_per_node: Annotated[
        str, AfterValidator(_growth), WithJsonSchema({"type": "string", "pattern": f"^{_GROWTH.pattern}$"})
    ] = Field(
        default="x1.5",
        validation_alias=AliasChoices("mem_per_node", "resources.mem_per_node"),
        description="how the memory of a node grows each time; `resources.mem_per_node` is taken for it, too",
    )
    max: Memory | None = Field(
        default=None, description="the most that is asked for; default: as much as sbatch accepts"
    )

    @property
    def factor(self) -> float:
        """By how much it grows."""
        return float(self.mem_per_node.removeprefix("x"))


class RestartSpec(Section):
    """When and how a run goes on by itself after its job has ended. It goes on with what is not done; `restart: off`
    is `mechanism: off`."""

    on: CauseList = Field(
        default=list(_DEFAULT),
        description="failure classes after which it goes on; never among them: app_failed, environment, cancelled",
    )
    max_without_progress: Whole = Field(
        default=3,
        ge=0,
        description="restarts in a row that finish no source partition and no shard; after so many it ends",
    )
    max_restarts: Whole | None = Field(
        default=None,
        ge=0,
        description=f"restarts in all; default: {MAX_RESTARTS}, and with `mechanism: chain` {CHAIN_LINKS}",
    )
    mechanism: Annotated[Mechanism, BeforeValidator(_off), WithJsonSchema(_MECHANISM_SCHEMA)] = Field(
        default=Mechanism.AUTO,
        description="requeue: the same job again; resubmit: a new job; chain: all jobs at once, each of which waits "
        "for the end of the one before; off; auto: requeue, or resubmit where the site does not requeue",
    )
    drain_before_limit_s: Whole = Field(
        default=120,
        ge=0,
        description="seconds before the time limit at which nothing more is begun and what is in flight may end; 0: "
        "at the limit itself",
    )
    backoff_s: Number = Field(
        default=60,
        ge=0,
        description="seconds to wait before a restart after an attempt that finished nothing; doubled each time",
    )
    on_out_of_memory: MemoryRule | None = Field(
        default=None, description="what changes after running out of memory; without it, that is no reason to restart"
    )

    @model_validator(mode="after")
    def _consistent(self) -> RestartSpec:
        if self.on_out_of_memory is not None and self.mechanism in (Mechanism.CHAIN, Mechanism.OFF):
            raise problem(
                f"`restart.on_out_of_memory` asks for a new job with more memory, and `restart.mechanism: "
                f"{self.mechanism}` submits none; leave one out",
                "restart.on_out_of_memory",
                "restart.mechanism",
            )
        return self

    @property
    def limit(self) -> int:
        """Restarts in all."""
        if self.max_restarts is not None:
            return self.max_restarts
        return CHAIN_LINKS if self.mechanism is Mechanism.CHAIN else MAX_RESTARTS


RestartSection = Annotated[RestartSpec, BeforeValidator(plain_mechanism), OrPlain(_MECHANISM_SCHEMA)]
"""A plain text, such as off, is the mechanism."""
