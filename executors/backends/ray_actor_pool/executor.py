"""RayActorPoolExecutor: all stages at once, each on a pool of actors that grows and shrinks with its load."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from curator_slurm.executors.base import BaseExecutor, warn_experimental
from curator_slurm.executors.known_options import POOL_DEFAULTS
from curator_slurm.executors.ray_connection import dead_nodes, ray_session
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.placement import NodePatience
from curator_slurm.executors.run.rounds import run_rounds
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.runtime_env import worker_env

log = logging.getLogger(__name__)


class RayActorPoolExecutor(BaseExecutor):
    """Streams tasks through pools of Ray actors.

    ``config``: `reserved_cpus` and `reserved_gpus` are left to others; `runtime_env` is for all workers;
    and the options of all back ends. A stage sizes its own pool by `num_workers()`, or in `ray_stage_spec()` by
    `min_workers`, `max_workers` and `initial_workers`.
    """

    CONFIG_DEFAULTS: ClassVar[Mapping[str, Any]] = POOL_DEFAULTS

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        ignore_head_node: bool = False,
        show_progress: bool = True,
        progress_interval: float = 10.0,
    ) -> None:
        super().__init__(config, ignore_head_node)
        warn_experimental(type(self).__name__)
        self._patience = NodePatience(*self.resource_wait)
        self.show_progress = show_progress
        self.progress_interval = progress_interval

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        """Run the stages; tasks come back in no particular order."""
        tasks = self.first_tasks(initial_tasks)
        if not stages:
            return []
        with ray_session(stages=stages) as ray, RunMonitor("ray_actor_pool", stages, self.policy) as monitor:
            adapters = [monitor.adapter(index, stage, self.policy) for index, stage in enumerate(stages)]
            from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
            from curator_slurm.executors.backends.ray_actor_pool.placement import fit_stages
            from curator_slurm.executors.backends.ray_actor_pool.run import PoolRun
            from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState

            sources = Sources(len(adapters), tasks)
            prepared: dict[int, set[str]] = {}

            def place() -> tuple[list[StageState], Nodes]:
                nodes = Nodes(
                    ray.nodes,
                    ignore_head_node=self.ignore_head_node,
                    reserved_cpus=self.option("reserved_cpus"),
                    reserved_gpus=self.option("reserved_gpus"),
                )
                left = adapters[sources.first_stage :]
                stages = [StageState(index, adapter, nodes.count) for index, adapter in enumerate(left)]
                fit_stages(stages, nodes)
                return stages, nodes

            def run_round(placed: tuple[list[StageState], Nodes]) -> None:
                stages, nodes = placed
                store = float(ray.cluster_resources().get("object_store_memory", 0))
                progress = self._progress(monitor)
                options, patience = self._actor_options, self._patience
                PoolRun(stages, monitor, sources, prepared, nodes, store, options, progress, patience).run()
                monitor.drain.check_end()
                sources.check_finished()
                monitor.check_counts(len(tasks), len(sources.outputs))

            run_rounds(place, run_round, monitor, sources, dead_nodes, self._patience)
        return sources.outputs

    def _actor_options(self, stage: Any, _node_id: str) -> dict[str, Any]:
        options: dict[str, Any] = {"num_cpus": stage.need.cpus, "num_gpus": stage.need.gpus, "max_restarts": 0}
        own = getattr(stage.adapter.stage, "runtime_env", None)
        env = worker_env(self.option("runtime_env"), own, stage.need.gpus)
        if env:
            options["runtime_env"] = env
        return options

    def _progress(self, monitor: RunMonitor) -> Any:
        """A line in the log now and then."""
        last = time.monotonic()

        def show() -> None:
            nonlocal last
            if self.show_progress and time.monotonic() - last > self.progress_interval:
                last = time.monotonic()
                parts = [
                    f"{stage['name']} {stage['tasks_in']} in, {stage['tasks_out']} out, "
                    f"{stage['queued'] or 0} waiting, {stage['workers'] or 0} workers"
                    for stage in monitor.progress.snapshot()["stages"]
                ]
                log.info("%s", "; ".join(parts))

        return show
