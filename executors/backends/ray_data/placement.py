"""Which nodes can hold the workers of a run on Ray Data: at its start, and when nodes have gone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import ray

from curator_slurm.executors.backends.ray_data.operators import OperatorPlan, cpu_scale
from curator_slurm.executors.backends.ray_data.pool_sizes import PoolNeed, PoolSize, pool_sizes
from curator_slurm.executors.ray_internals import step_callback_base
from curator_slurm.executors.run.placement import (
    USUAL,
    ClusterNode,
    Need,
    NodePatience,
    NodeWait,
    check_fits,
    group_selector,
    head_node_id,
    shrunk,
    usable_nodes,
)

_LOOK_S = 5.0


class Placement:
    """The nodes of one run."""

    def __init__(
        self,
        plans: Sequence[OperatorPlan],
        *,
        ignore_head_node: bool,
        patience: NodePatience = USUAL,
        list_nodes: Callable[[], Sequence[Mapping[str, Any]]] = ray.nodes,
    ) -> None:
        self.plans = plans
        """The operators, in order."""
        self._list_nodes = list_nodes
        self._ignore_head = ignore_head_node
        head = head_node_id(list_nodes()) if ignore_head_node else None
        self._off_head = {} if head is None else {"ray.io/node-id": f"!{head}"}
        self.nodes = self._usable()
        self.cpus = sum(node.cpus for node in self.nodes)
        self._scale = min(cpu_scale(own, cpus) for own, cpus in self._shared())
        self._needs = [self._need(plan) for plan in plans]
        self._wait = NodeWait(patience)
        self._looked = 0.0

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            DoesNotFitError: no node can hold a worker of some stage.
        """
        for plan, need in zip(self.plans, self._needs, strict=True):
            check_fits(plan.name, need, self.nodes)

    def selector(self, plan: OperatorPlan) -> dict[str, str] | None:
        """Ray's label selector of its workers."""
        return {**self._off_head, **group_selector(plan.group, self.nodes)} or None

    def _shared(self) -> Iterator[tuple[Sequence[OperatorPlan], float]]:
        """Operators that share CPUs, and how many: all of them, and those that are bound to each group."""
        yield self.plans, self.cpus
        for group in {plan.group for plan in self.plans} - {None}:
            own = [plan for plan in self.plans if plan.group == group]
            yield own, sum(node.cpus for node in self.nodes if Need(0, 0, group).allows(node.group))

    def cpus_of(self, plan: OperatorPlan) -> float:
        """CPUs to ask for, scaled down alike where the cluster is too small: CPUs can be shared."""
        return self._need(plan).cpus

    def pool_sizes(self, plans: Sequence[OperatorPlan], tasks: int) -> list[PoolSize]:
        """With how many workers these operators begin, if the first one gets so many tasks."""
        known = True
        pools = []
        for plan in plans:
            batches = math.ceil(tasks / plan.batch_size) if known else None
            workers = plan.workers
            pools.append(
                PoolNeed(
                    self._need(plan), plan.is_actor, workers.least, workers.most, workers.fixed, workers.initial,
                    batches,
                )
            )  # fmt: skip
            known = known and not plan.fans_out
        return pool_sizes(pools, self.nodes)

    def holds(self, node: ClusterNode, plan: OperatorPlan) -> bool:
        """Whether a worker of this operator fits on the node."""
        return node.holds(self._need(plan))

    def look(self, unfinished: Callable[[], Collection[int]]) -> None:
        """Give up where stages have waited long for a node; to be called often. Ray Data would wait for ever.

        Raises:
            WorkerLostError: the last node is gone that a worker of an unfinished stage could run on.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        self.give_up(unfinished(), now)

    def give_up(self, unfinished: Collection[int], now: float) -> None:
        """The decision of `look`."""
        needs = {
            index: (plan.name, need)
            for index, (plan, need) in enumerate(zip(self.plans, self._needs, strict=True))
            if any(step.index in unfinished for step in plan.steps)
        }
        self._wait.check(needs, self._usable(), now)

    def _need(self, plan: OperatorPlan) -> Need:
        return shrunk(replace(plan.need, cpus=plan.cpus * self._scale), self.nodes)

    def _usable(self) -> list[ClusterNode]:
        return usable_nodes(self._list_nodes(), ignore_head_node=self._ignore_head)


class LookStep(step_callback_base()):  # type: ignore[misc]
    """Calls all of `looks` at every step of Ray Data's loop, which ends with what one of them raises.

    Ray Data makes the instances, and sends the class to workers with its context: it has no other way to the run.
    """

    looks: ClassVar[list[Callable[[], None]]] = []

    def on_execution_step(self, executor: Any) -> None:  # noqa: ARG002
        for look in self.looks:
            look()
