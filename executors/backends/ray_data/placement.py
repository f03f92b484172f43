"""Which nodes can hold the workers of a run on Ray Data: at its start, and when nodes have gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import ray
from ray.data._internal.execution.execution_callback import ExecutionCallback

from curator_slurm.executors.backends.ray_data.operators import OperatorPlan, cpu_scale
from curator_slurm.executors.run import rounds
from curator_slurm.executors.task_failures import ExecutorError, WorkerLostError

_LOOK_S = 5.0
_TOLERANCE = 1e-6


class DataRoom:
    """The nodes of one run."""

    def __init__(
        self,
        plans: Sequence[OperatorPlan],
        *,
        ignore_head_node: bool,
        list_nodes: Callable[[], Sequence[Mapping[str, Any]]] = ray.nodes,
    ) -> None:
        self._plans = plans
        self._list_nodes = list_nodes
        alive = self._alive()
        heads = [node["NodeID"] for node in alive if "node:__internal_head__" in node["Resources"]]
        self.avoid: str | None = heads[0] if ignore_head_node and heads else None
        self.nodes = self._usable(alive)
        self.cpus = sum(_amount(node, "CPU") for node in self.nodes)
        self._scale = cpu_scale(plans, self.cpus)
        self._largest = max((_amount(node, "CPU") for node in self.nodes), default=0.0)
        self._missing: dict[int, float] = {}
        self._looked = 0.0

    def check(self) -> None:
        """Say before the run what cannot be.

        Raises:
            ExecutorError: no node can hold a worker of some stage.
        """
        if not self.nodes:
            raise ExecutorError("no node is left to work on: Ray has its head node only, and ignore_head_node is set")
        for plan in self._plans:
            if not any(_amount(node, "GPU") >= plan.gpus for node in self.nodes):
                raise ExecutorError(f"stage {_name(plan)!r} needs {plan.gpus:g} GPUs per worker, and no node has that")

    def cpus_of(self, plan: OperatorPlan) -> float:
        """CPUs to ask for, scaled down alike where the cluster is too small: CPUs can be shared."""
        return min(plan.cpus * self._scale, self._largest)

    def holds(self, node: Mapping[str, Any], plan: OperatorPlan) -> bool:
        """Whether a worker of this operator fits on the node."""
        return _amount(node, "GPU") >= plan.gpus and _amount(node, "CPU") + _TOLERANCE >= self.cpus_of(plan)

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
        nodes = self._usable(self._alive())
        for index, plan in enumerate(self._plans):
            done = all(step.index not in unfinished for step in plan.steps)
            if done or any(self.holds(node, plan) for node in nodes):
                self._missing.pop(index, None)
            elif now - self._missing.setdefault(index, now) > rounds.NODE_PATIENCE_S:
                raise WorkerLostError(
                    f"stage {_name(plan)!r} has lost the last node that a worker of it could run on "
                    f"({self.cpus_of(plan):g} CPUs, {plan.gpus:g} GPUs)"
                )

    def _alive(self) -> list[Mapping[str, Any]]:
        return [node for node in self._list_nodes() if node.get("Alive")]

    def _usable(self, nodes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [node for node in nodes if node["NodeID"] != self.avoid]


class LookStep(ExecutionCallback):  # type: ignore[misc]
    """Calls all of `looks` at every step of Ray Data's loop, which ends with what one of them raises.

    Ray Data makes the instances, and sends the class to workers with its context: it has no other way to the run.
    """

    looks: ClassVar[list[Callable[[], None]]] = []

    def on_execution_step(self, executor: Any) -> None:  # noqa: ARG002
        for look in self.looks:
            look()


def _amount(node: Mapping[str, Any], resource: str) -> float:
    return float(node["Resources"].get(resource, 0))


def _name(plan: OperatorPlan) -> str:
    return plan.steps[0].adapter.name
