"""How stages become operators of Ray Data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_data.worker_process import Step, overrides
from curator_slurm.executors.ray_connection import alive_nodes
from curator_slurm.executors.ray_stage_spec import checked_ray_stage_spec
from curator_slurm.executors.requested_workers import fixed_workers
from curator_slurm.executors.run.placement import Need, need_of
from curator_slurm.executors.runtime_env import worker_env

_BLOCK_BYTES = 64 << 20
_OWN_ARGUMENTS = {"compute", "max_calls", "num_cpus", "num_gpus"}


@dataclass(frozen=True)
class Workers:
    """How many workers an operator may have."""

    fixed: int | None
    least: int = 1
    most: int | None = None
    initial: int | None = None


@dataclass(frozen=True)
class OperatorPlan:
    """Stages that share an operator, and what each of its workers needs."""

    steps: tuple[Step, ...]
    is_actor: bool
    cpus: float
    gpus: float
    fans_out: bool
    workers: Workers
    max_calls: int | None
    remote_args: dict[str, Any]
    group: str | None = None
    """The only group of nodes that its workers may be on."""

    @property
    def need(self) -> Need:
        """What one of them takes."""
        return Need(self.cpus, self.gpus, self.group)

    @property
    def name(self) -> str:
        """The first stage's name."""
        return self.steps[0].adapter.name

    @property
    def batch_size(self) -> int:
        """Tasks that the first stage gets at once."""
        return self.steps[0].adapter.batch_size

    @property
    def needs_batches(self) -> bool:
        """Whether the first stage works on several tasks together, and is to get full batches."""
        return self.batch_size > 1 and not self.steps[0].adapter.is_per_task

    def fuses_with(self, other: OperatorPlan) -> bool:
        """Whether the next stage can run in the same worker.

        A stage that needs batches cannot: those before it in the worker may filter tasks or make more of them.
        """
        plain = Workers(None)
        return (
            not self.is_actor
            and not other.needs_batches
            and not other.is_actor
            and not self.fans_out
            and self.cpus == other.cpus
            and self.remote_args == other.remote_args
            and self.workers == other.workers == plain
            and self.max_calls == other.max_calls
            and self.group == other.group
        )

    def split_first(self) -> tuple[OperatorPlan, ...]:
        """The first stage on its own, and the others."""
        first = replace(self, steps=self.steps[:1])
        return (first, replace(self, steps=self.steps[1:])) if len(self.steps) > 1 else (first,)

    def fuse(self, other: OperatorPlan) -> OperatorPlan:
        return OperatorPlan(
            (*self.steps, *other.steps), False, self.cpus, 0.0, other.fans_out, self.workers, self.max_calls,
            self.remote_args, self.group,
        )  # fmt: skip


def _alive(_need: Need) -> int:
    return len(alive_nodes())


def plan_operators(adapters: Sequence[StageAdapter], count_nodes: Callable[[Need], int] = _alive) -> list[OperatorPlan]:
    """Operators for the stages, neighbours fused where they can be; `count_nodes`: those that a worker may be on."""
    plans: list[OperatorPlan] = []
    for index, adapter in enumerate(adapters):
        plan = _plan(Step(index, adapter), count_nodes)
        if plans and plans[-1].fuses_with(plan):
            plans[-1] = plans[-1].fuse(plan)
        else:
            plans.append(plan)
    return plans


def _plan(step: Step, count_nodes: Callable[[Need], int]) -> OperatorPlan:
    stage = step.adapter.stage
    spec = checked_ray_stage_spec(stage)
    need = need_of(stage, float(spec.get("ray_num_cpus") or stage.resources.cpus))
    gpus = need.gpus
    by_nature = overrides(stage, "setup") or overrides(stage, "teardown") or gpus > 0
    remote_args = dict(spec.get("ray_remote_args") or {})
    clash = sorted(_OWN_ARGUMENTS & set(remote_args))
    if clash:
        raise ValueError(f"stage {step.adapter.name!r}: ray_remote_args must not have {', '.join(clash)}")
    env = worker_env(remote_args.get("runtime_env"), getattr(stage, "runtime_env", None), gpus)
    if env:
        remote_args["runtime_env"] = env
    return OperatorPlan(
        steps=(step,),
        is_actor=bool(spec.get("is_actor_stage", by_nature)),
        cpus=need.cpus,
        gpus=gpus,
        fans_out=bool(spec.get("is_fanout_stage")),
        workers=Workers(
            fixed_workers(stage, lambda: count_nodes(need)),
            int(spec.get("min_workers") or 1),
            spec.get("max_workers"),
            spec.get("initial_workers"),
        ),
        max_calls=spec.get("max_calls_per_worker"),
        remote_args=remote_args,
        group=need.group,
    )


def cpu_scale(plans: Sequence[OperatorPlan], cpus: float) -> float:
    """By how much CPU requests must shrink so that one worker of every actor stage, and a task, fit at once."""
    actors = sum(plan.cpus * (plan.workers.fixed or plan.workers.least) for plan in plans if plan.is_actor)
    tasks = max((plan.cpus for plan in plans if not plan.is_actor), default=0.0)
    needed = actors + tasks
    return 1.0 if needed <= cpus or needed == 0 else cpus / needed


def block_count(tasks: int, batch_size: int, cpus: float, nbytes: int = 0) -> int:
    """Blocks for so many tasks: enough for all CPUs to have several, but not one for each tiny task."""
    batches = math.ceil(tasks / max(1, batch_size))
    return max(1, min(batches, max(16, int(8 * cpus), nbytes // _BLOCK_BYTES)))


def block_rows(tasks: int, batch_size: int, cpus: float) -> int:
    """Tasks in a block, whole batches, where about so many come: several blocks for each CPU, but not one a batch."""
    return batch_size * max(1, tasks // (batch_size * max(16, int(8 * cpus))))
