"""One run on Ray Data: nodes prepared, operators chained, outputs collected."""

from __future__ import annotations

import contextlib
import inspect
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_slurm.executors.adapter.adapter import NodeInfo, WorkerMetadata
from curator_slurm.executors.adapter.deadline import TEARDOWN_S
from curator_slurm.executors.adapter.task_size import size_of
from curator_slurm.executors.backends.ray_data.ledger import Ledger, LedgerUpdate, RemoteLedger
from curator_slurm.executors.backends.ray_data.operators import (
    OperatorPlan,
    block_count,
    block_rows,
)
from curator_slurm.executors.backends.ray_data.placement import LookStep, Placement
from curator_slurm.executors.backends.ray_data.pool_sizes import PoolSize
from curator_slurm.executors.backends.ray_data.rows import to_table, to_tasks
from curator_slurm.executors.backends.ray_data.worker_process import Operator, Step, overrides
from curator_slurm.executors.ray_connection import alive_nodes
from curator_slurm.executors.ray_internals import step_callback_setting
from curator_slurm.executors.run.payload import KEEP_BELOW, split_evenly
from curator_slurm.executors.task_failures import FailurePolicy

log = logging.getLogger(__name__)

_RETRIES = 20  # of Ray Data's tasks and actors: the ledger decides when to give up

_GROWS_AT = 1.5
"""Tasks per actor from which on Ray Data adds some. It holds two per actor at most and waits for 1.75 by itself, which
a pool with a long queue does not reach while an actor of it starts; at 1, pools grow and shrink with every burst."""


class DataRun:
    """One run; used once."""

    def __init__(self, placement: Placement, policy: FailurePolicy) -> None:
        self._placement = placement
        self._plans = placement.plans
        most = policy.max_failed_tasks if policy.skips else None
        # Not soft: Ray would then place an actor without CPUs on any node, whose loss would end the run.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        ledger = ray.remote(num_cpus=0, max_concurrency=1)(Ledger).options(scheduling_strategy=here)
        self._actor = ledger.remote(most, alive_nodes)
        self._ledger = RemoteLedger(self._actor)

    def updates(self) -> LedgerUpdate:
        """What workers have reported since the last call."""
        update: LedgerUpdate = ray.get(self._actor.updates.remote())
        return update

    def close(self, stage: int) -> None:
        """Have the workers begin nothing any more at this stage and those before it."""
        ray.get(self._actor.close.remote(stage))

    def execute(
        self, tasks: list[Any], unfinished: Callable[[], Collection[int]], check_time: Callable[[], None]
    ) -> list[Any]:
        """All tasks through all operators.

        `unfinished` tells which stages, by position, have not had all their tasks; `check_time` raises when the run
        has to end.
        """

        def look() -> None:
            check_time()
            self._placement.look(unfinished)

        with self._context(look):
            self._prepare_nodes()
            dataset = self._source(tasks)
            outputs: list[Any] = []
            if dataset is not None:
                for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                    outputs += to_tasks(batch)
            self._wait_for_teardown()
            return outputs

    def _wait_for_teardown(self) -> None:
        """Ray Data does not wait for actors that it has ended because their input is consumed."""
        deadline = time.monotonic() + TEARDOWN_S
        while count := ray.get(self._actor.actors_left.remote()):
            if time.monotonic() > deadline:
                log.warning("%d worker(s) did not finish teardown() within %g s", count, TEARDOWN_S)
                return
            time.sleep(0.02)

    @contextlib.contextmanager
    def _context(self, look: Callable[[], None]) -> Iterator[None]:
        """Ray Data's settings for the time of the run."""
        context = DataContext.get_current()
        threshold = min(_GROWS_AT, context.autoscaling_config.actor_pool_util_upscaling_threshold)
        ours: dict[str, Any] = {
            "enable_progress_bars": False,
            "raise_original_map_exception": True,
            "autoscaling_config": replace(context.autoscaling_config, actor_pool_util_upscaling_threshold=threshold),
        }
        callbacks = step_callback_setting()
        if callbacks is not None:
            ours[callbacks] = [*getattr(context, callbacks), LookStep]
        before = {name: getattr(context, name) for name in ours}
        LookStep.looks.append(look)
        try:
            for name, value in ours.items():
                setattr(context, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(context, name, value)
            LookStep.looks.remove(look)

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
            refs, total, nbytes = self._run_first(first, tasks[0], following)
            blocks = ray.get(refs) if nbytes < KEEP_BELOW else refs
        else:
            nbytes = size_of(tasks)
            count = block_count(total, plans[0].batch_size, self._placement.cpus, nbytes)
            tables = map(to_table, split_evenly(tasks, count, plans[0].batch_size))
            blocks = list(tables) if nbytes < KEEP_BELOW else [ray.put(table) for table in tables]
        if not blocks:
            return None
        # Of references Ray Data has each looked at by a task, and waits for all of them before it begins.
        dataset = ray.data.from_blocks(blocks) if nbytes < KEEP_BELOW else ray.data.from_arrow_refs(blocks)
        sizes = self._placement.pool_sizes(plans, total)
        whole_blocks = True
        for index, plan in enumerate(plans):
            dataset = self._apply(dataset, plan, sizes[index], whole_blocks=whole_blocks)
            after = plans[index + 1] if index + 1 < len(plans) else None
            whole_blocks = False
            if after is not None and (plan.fans_out or after.gpus):  # else few workers would get it all
                dataset = _in_blocks(dataset, after.batch_size)
                whole_blocks = not after.gpus
            elif after is not None and after.needs_batches:
                dataset = _in_blocks(dataset, block_rows(total, after.batch_size, self._placement.cpus))
                whole_blocks = True
        return dataset

    def _apply(self, dataset: Dataset, plan: OperatorPlan, size: PoolSize, *, whole_blocks: bool) -> Dataset:
        """`whole_blocks`: the blocks hold whole batches as they are, and need not be cut or joined to batches."""
        arguments: dict[str, Any] = {
            "batch_format": "pyarrow",
            "batch_size": plan.batch_size if plan.gpus or (plan.batch_size > 1 and not whole_blocks) else None,
            "num_cpus": self._placement.cpus_of(plan),
            **plan.remote_args,
        }
        if plan.gpus:
            arguments["num_gpus"] = plan.gpus
        if selector := self._placement.selector(plan):
            arguments["label_selector"] = selector
        workers = plan.workers
        name = "+".join(type(step.adapter.stage).__name__ for step in plan.steps)
        if plan.is_actor:
            if workers.fixed is not None:
                arguments["compute"] = ActorPoolStrategy(size=workers.fixed, max_tasks_in_flight_per_actor=2)
            else:
                arguments["compute"] = ActorPoolStrategy(
                    min_size=size.least, max_size=workers.most, initial_size=size.initial
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

    def _run_first(self, plan: OperatorPlan, task: Any, following: int) -> tuple[list[Any], int, int]:
        """One task through the first operator: its output in several blocks, how many tasks and bytes that is."""
        most = max(16, int(8 * self._placement.cpus))
        options = {key: plan.remote_args[key] for key in ("runtime_env",) if key in plan.remote_args}
        remote = ray.remote(_first).options(
            num_cpus=self._placement.cpus_of(plan), num_gpus=plan.gpus, num_returns=most + 1, max_retries=_RETRIES,
            label_selector=self._placement.selector(plan), **options,
        )  # fmt: skip
        counts, *blocks = remote.remote(plan, self._ledger, task, following, self._placement.cpus, most)
        filled, total, nbytes = ray.get(counts)
        return blocks[:filled], total, nbytes

    # -- before the run

    def _prepare_nodes(self) -> None:
        """`setup_on_node` of every stage that has one, on all nodes at once."""
        refs = []
        for plan in self._plans:
            for step in plan.steps:
                if not overrides(step.adapter.stage, "setup_on_node"):
                    continue
                for node in self._placement.nodes:
                    if not self._placement.holds(node, plan):
                        continue  # no worker of this stage can come here
                    strategy = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
                    options = {key: plan.remote_args[key] for key in ("runtime_env",) if key in plan.remote_args}
                    remote = ray.remote(_setup_on_node).options(
                        num_cpus=self._placement.cpus_of(plan),
                        num_gpus=plan.gpus,
                        scheduling_strategy=strategy,
                        **options,
                    )
                    refs.append(remote.remote(step, self._ledger))
        ray.get(refs)


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
    nbytes = size_of(tasks)
    count = min(most, block_count(len(tasks), following, cpus, nbytes))
    parts = split_evenly(tasks, count, following)
    return ((len(parts), len(tasks), nbytes), *[to_table(part) for part in parts], *[None] * (most - len(parts)))
