"""One run on Ray Data: nodes prepared, operators chained, outputs collected."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_slurm.executors.adapter import NodeInfo, StageAdapter, WorkerMetadata
from curator_slurm.executors.backends._data_ledger import Ledger, News, RemoteLedger
from curator_slurm.executors.backends._data_plan import (
    OperatorPlan,
    block_count,
    block_rows,
    cpu_scale,
    plan_operators,
    split,
)
from curator_slurm.executors.backends._data_stage import Operator, Step, overrides, to_table, to_tasks
from curator_slurm.executors.backends._pool_data import size_of
from curator_slurm.executors.failures import ExecutorError, FailurePolicy

log = logging.getLogger(__name__)

_RETRIES = 20  # of Ray Data's tasks and actors: the ledger decides when it is enough


class DataRun:
    """One run; used once."""

    def __init__(self, adapters: Sequence[StageAdapter], policy: FailurePolicy, *, ignore_head_node: bool) -> None:
        self._plans = plan_operators(adapters)
        most = policy.max_failed_tasks if policy.skips else None
        # Not softly: Ray then takes any node for an actor without CPUs, and its loss would end the run.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._actor = ray.remote(num_cpus=0, max_concurrency=1)(Ledger).options(scheduling_strategy=here).remote(most)
        self._ledger = RemoteLedger(self._actor)
        nodes = [node for node in ray.nodes() if node.get("Alive")]
        heads = [node for node in nodes if "node:__internal_head__" in node["Resources"]]
        self._avoid = heads[0]["NodeID"] if ignore_head_node and heads else None
        self._nodes = [node for node in nodes if node["NodeID"] != self._avoid]
        self._cpus = sum(float(node["Resources"].get("CPU", 0)) for node in self._nodes)
        self._scale = cpu_scale(self._plans, self._cpus)
        self._check_room()

    def news(self) -> News:
        """What has come in since the last call."""
        news: News = ray.get(self._actor.news.remote())
        return news

    def execute(self, tasks: list[Any]) -> list[Any]:
        """All tasks through all operators."""
        context = DataContext.get_current()
        before = (context.enable_progress_bars, context.raise_original_map_exception)
        context.enable_progress_bars, context.raise_original_map_exception = False, True
        try:
            self._prepare_nodes()
            dataset = self._source(tasks)
            outputs: list[Any] = []
            if dataset is not None:
                for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                    outputs += to_tasks(batch)
            return outputs
        finally:
            context.enable_progress_bars, context.raise_original_map_exception = before

    # -- the chain

    def _source(self, tasks: list[Any]) -> Dataset | None:
        """The dataset of the whole pipeline.

        A single first task, the usual EmptyTask, is run on its own: what comes out of it is what the work is cut from,
        and only then is it known into how many blocks.
        """
        plans, total = list(self._plans), len(tasks)
        if total == 1:
            plans[:1] = plans[0].split_first()
            first = plans.pop(0)
            following = plans[0].batch_size if plans else 1
            refs, total = self._run_first(first, tasks[0], following)
        else:
            count = block_count(total, plans[0].batch_size, self._cpus, size_of(tasks))
            refs = [ray.put(to_table(part)) for part in split(tasks, count, plans[0].batch_size)]
        if not refs:
            return None
        dataset = ray.data.from_arrow_refs(refs)
        whole_blocks = True
        for index, plan in enumerate(plans):
            dataset = self._apply(dataset, plan, whole_blocks=whole_blocks)
            after = plans[index + 1] if index + 1 < len(plans) else None
            whole_blocks = False
            if after is not None and (plan.fans_out or after.gpus):  # else few workers would get it all
                dataset = _in_blocks(dataset, after.batch_size)
                whole_blocks = not after.gpus
            elif after is not None and after.needs_batches:
                dataset = _in_blocks(dataset, block_rows(total, after.batch_size, self._cpus))
                whole_blocks = True
        return dataset

    def _apply(self, dataset: Dataset, plan: OperatorPlan, *, whole_blocks: bool) -> Dataset:
        """`whole_blocks`: the blocks hold whole batches as they are, and need not be cut or joined to batches."""
        arguments: dict[str, Any] = {
            "batch_format": "pyarrow",
            "batch_size": plan.batch_size if plan.gpus or (plan.batch_size > 1 and not whole_blocks) else None,
            "num_cpus": self._cpus_of(plan),
            **plan.remote_args,
        }
        if plan.gpus:
            arguments["num_gpus"] = plan.gpus
        if self._avoid is not None:
            arguments["label_selector"] = {"ray.io/node-id": f"!{self._avoid}"}
        workers = plan.workers
        name = "+".join(type(step.adapter.stage).__name__ for step in plan.steps)
        if plan.is_actor:
            if workers.fixed is not None:
                arguments["compute"] = ActorPoolStrategy(size=workers.fixed, max_tasks_in_flight_per_actor=2)
            else:
                arguments["compute"] = ActorPoolStrategy(
                    min_size=workers.least, max_size=workers.most, initial_size=workers.initial
                )
            operator = type(f"{name}Actor", (Operator,), {"__module__": Operator.__module__})
            return dataset.map_batches(
                operator,
                fn_constructor_args=(plan.steps, self._ledger),
                fn_constructor_kwargs={"is_actor": True},
                **arguments,
            )
        if workers.fixed or workers.most:
            arguments["compute"] = TaskPoolStrategy(size=workers.fixed or workers.most)
        if plan.max_calls is not None:
            arguments["max_calls"] = plan.max_calls
        steps, ledger = ray.put(plan.steps), self._ledger

        def run(table: Any) -> Any:
            return Operator(ray.get(steps), ledger, is_actor=False)(table)

        run.__name__ = run.__qualname__ = f"{name}Task"
        return dataset.map_batches(run, **arguments)

    def _run_first(self, plan: OperatorPlan, task: Any, following: int) -> tuple[list[Any], int]:
        """One task through the first operator: its output in several blocks, and how many tasks that is."""
        most = max(16, int(8 * self._cpus))
        options = {key: plan.remote_args[key] for key in ("runtime_env",) if key in plan.remote_args}
        remote = ray.remote(_first).options(
            num_cpus=self._cpus_of(plan), num_gpus=plan.gpus, num_returns=most + 1, max_retries=_RETRIES,
            label_selector={"ray.io/node-id": f"!{self._avoid}"} if self._avoid else None, **options,
        )  # fmt: skip
        counts, *blocks = remote.remote(plan, self._ledger, task, following, self._cpus, most)
        filled, total = ray.get(counts)
        return blocks[:filled], total

    # -- before the run

    def _prepare_nodes(self) -> None:
        """`setup_on_node` of every stage that has one, on all nodes at once."""
        refs = []
        for plan in self._plans:
            for step in plan.steps:
                if not overrides(step.adapter.stage, "setup_on_node"):
                    continue
                for node in self._nodes:
                    if not self._holds(node, plan):
                        continue  # no worker of this stage can come here
                    strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                    options = {key: plan.remote_args[key] for key in ("runtime_env",) if key in plan.remote_args}
                    remote = ray.remote(_setup_on_node).options(
                        num_cpus=self._cpus_of(plan), num_gpus=plan.gpus, scheduling_strategy=strategy, **options
                    )
                    refs.append(remote.remote(step, self._ledger))
        ray.get(refs)

    def _cpus_of(self, plan: OperatorPlan) -> float:
        """CPUs to ask for, scaled down alike where the cluster is too small: CPUs can be shared."""
        sizes = [float(node["Resources"].get("CPU", 0)) for node in self._nodes]
        return min(plan.cpus * self._scale, max(sizes, default=0.0))

    def _holds(self, node: dict[str, Any], plan: OperatorPlan) -> bool:
        cpus, gpus = (float(node["Resources"].get(name, 0)) for name in ("CPU", "GPU"))
        return gpus >= plan.gpus and cpus + 1e-6 >= self._cpus_of(plan)

    def _check_room(self) -> None:
        if not self._nodes:
            raise ExecutorError("no node is left to work on: Ray has its head node only, and ignore_head_node is set")
        for plan in self._plans:
            if not any(float(node["Resources"].get("GPU", 0)) >= plan.gpus for node in self._nodes):
                raise ExecutorError(
                    f"stage {plan.steps[0].adapter.name!r} needs {plan.gpus:g} GPUs per worker, and no node has that"
                )


def _in_blocks(dataset: Dataset, rows: int) -> Dataset:
    """Blocks of exactly so many rows, but for the last one."""
    strict = {"strict": True} if "strict" in inspect.signature(dataset.repartition).parameters else {}
    return dataset.repartition(target_num_rows_per_block=rows, **strict)


def _setup_on_node(step: Step, ledger: RemoteLedger) -> None:
    context = ray.get_runtime_context()
    ledger.node_prepared(step.index, context.get_node_id())
    step.adapter.setup_on_node(NodeInfo(context.get_node_id()), WorkerMetadata(context.get_worker_id()))


def _first(plan: OperatorPlan, ledger: RemoteLedger, task: Any, following: int, cpus: float, most: int) -> Any:
    operator = Operator(plan.steps, ledger, is_actor=plan.is_actor)
    tasks = [done for table in operator(to_table([task])) for done in to_tasks(table)]
    operator.tear_down()
    count = min(most, block_count(len(tasks), following, cpus, size_of(tasks)))
    parts = split(tasks, count, following)
    return ((len(parts), len(tasks)), *[to_table(part) for part in parts], *[None] * (most - len(parts)))
