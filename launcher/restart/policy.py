"""Whether a run goes on by itself after an attempt has ended. Pure: no clock, no files, no Slurm.

A restart must be worth something: the end was not the application's fault, or something changes; and of the restarts
in a row that finished nothing, and of all, there were not too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.spec.restart_section import Mechanism, MemoryRule, RestartSpec
from curator_slurm.launcher.spec.slurm_memory import megabytes

LONGEST_BACKOFF_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the plan says of restarts."""

    on: frozenset[FailureClass]
    max_without_progress: int
    max_restarts: int
    backoff_s: float
    memory: MemoryRule | None = None
    mem_per_node: str | None = None
    """What the attempt asked for."""


@dataclass(frozen=True)
class History:
    """Restarts before this attempt, and how many attempts in a row have finished nothing, this one included."""

    restarts: int = 0
    without_progress: int = 0


@dataclass(frozen=True)
class Restart:
    """It goes on, after a while, and with these settings changed."""

    delay_s: float = 0.0
    changes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """It does not; `reason` is for people, empty where nobody would expect it to."""

    reason: str = ""


def rules_of(restart: RestartSpec, mechanism: Mechanism, mem_per_node: str | None) -> Rules:
    """The rules of a plan whose mechanism was chosen."""
    on = frozenset() if mechanism is Mechanism.OFF else frozenset(restart.on)
    return Rules(
        on=on,
        max_without_progress=restart.max_without_progress,
        max_restarts=restart.model_copy(update={"mechanism": mechanism}).limit,
        backoff_s=restart.backoff_s,
        memory=restart.on_out_of_memory if mechanism in (Mechanism.REQUEUE, Mechanism.RESUBMIT) else None,
        mem_per_node=mem_per_node,
    )


def decide(ending: FailureClass | None, history: History, rules: Rules) -> Restart | Stop:
    """Whether to go on after an attempt that ended in this way; None: nobody knows how, which is no reason to."""
    changes: Mapping[str, str] = {}
    if ending is FailureClass.OUT_OF_MEMORY and rules.memory is not None:
        more = _more_memory(rules.memory, rules.mem_per_node)
        if isinstance(more, Stop):
            return more
        changes = more
    elif ending is None or ending not in rules.on:
        return Stop()
    if (over := exhausted(history, rules)) is not None:
        return over
    idle = history.without_progress
    delay = rules.backoff_s * 2 ** (idle - 1) if idle else 0.0
    return Restart(min(delay, LONGEST_BACKOFF_S), changes)


def exhausted(history: History, rules: Rules) -> Stop | None:
    """Why no further restart is allowed, whoever would start it; None while one is."""
    if history.restarts >= rules.max_restarts:
        return Stop(f"it was restarted {_times(history.restarts)} (restart.max_restarts)")
    if history.without_progress > rules.max_without_progress:
        idle = history.without_progress - 1
        return Stop(
            f"{_count(idle)} in a row finished nothing (restart.max_without_progress)"
            if idle
            else "it finished nothing (restart.max_without_progress is 0)"
        )
    return None


def decide_for_all(
    endings: Mapping[int, FailureClass | None], history: History, rules: Rules
) -> tuple[list[int], Restart | Stop]:
    """The shards that go on, each after its own end, and how; where none does, why not."""
    decisions = {ending: decide(ending, history, rules) for ending in set(endings.values())}
    going = [shard for shard, ending in endings.items() if isinstance(decisions[ending], Restart)]
    restarts = [each for each in decisions.values() if isinstance(each, Restart)]
    if not going:
        return [], Stop(_first(each.reason for each in decisions.values() if isinstance(each, Stop)))
    changes = {key: value for each in restarts for key, value in each.changes.items()}
    return sorted(going), Restart(max(each.delay_s for each in restarts), changes)


def _more_memory(rule: MemoryRule, asked: str | None) -> Mapping[str, str] | Stop:
    """What to ask for instead."""
    if asked is None:
        return Stop("resources.mem_per_node is not set, so restart.on_out_of_memory has nothing to raise")
    before = megabytes(asked)
    most = megabytes(rule.max) if rule.max is not None else None
    if before == 0:
        return Stop("resources.mem_per_node is all of a node already, so restart.on_out_of_memory cannot raise it")
    if most is not None and before >= most:
        return Stop(f"resources.mem_per_node is {asked}, and restart.on_out_of_memory.max is {rule.max}")
    more = int(before * rule.factor + 0.5)
    return {"resources.mem_per_node": f"{more if most is None else min(more, most)}M"}


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _count(number: int) -> str:
    return "1 restart" if number == 1 else f"{number} restarts"


def _first(reasons: Iterable[str]) -> str:
    return next((each for each in reasons if each), "")
