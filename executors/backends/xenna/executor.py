"""XennaExecutor: all stages of a pipeline at once on cosmos-xenna, scaled to balance each other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from cosmos_xenna.pipelines import v1
from loguru import logger

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.xenna.chunks import Chunk, batches_per_chunk, make_chunks
from curator_slurm.executors.backends.xenna.engine import adjusted_engine
from curator_slurm.executors.backends.xenna.fit import Demand, DoesNotFitError
from curator_slurm.executors.backends.xenna.gpus import StageRuntimeEnv
from curator_slurm.executors.backends.xenna.options import StageOptions, parse_config, parse_stage, xenna_version
from curator_slurm.executors.backends.xenna.placement import Cluster
from curator_slurm.executors.backends.xenna.reap import end_worker_processes
from curator_slurm.executors.backends.xenna.run import XennaRun
from curator_slurm.executors.backends.xenna.worker_process import Place, Requests, StageSpec, XennaStage
from curator_slurm.executors.backends.xenna_env import RAY_START_ENV, XENNA_METRICS_PORT, scoped_environment
from curator_slurm.executors.base import BaseExecutor
from curator_slurm.executors.known_options import COMMON_KEYS
from curator_slurm.executors.ray_connection import alive_nodes, ray_session
from curator_slurm.executors.run import placement
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.payload import size_of
from curator_slurm.executors.run.ray_errors import executor_error
from curator_slurm.executors.run.rounds import run_rounds
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, WorkerLostError

_LOOK_S = 1.0
_CLEAR_CUDA = "clear_cuda_visible_devices_on_cpu_actors"


class XennaExecutor(BaseExecutor):
    """Runs a pipeline on cosmos-xenna 0.2.0 to 0.5.12.

    `config` takes `execution_mode` (`streaming` or `batch`), `logging_interval`, `cpu_allocation_percentage`,
    `autoscale_interval_s`, `max_workers_per_stage`, the failure policy of all back ends, `resource_monitor` (measure
    CPU and memory per stage: one more process on every node), and every option that the
    installed cosmos-xenna has for pipelines and streaming, under its own name. Stages may override some of them in
    `xenna_stage_spec()`.
    """

    def check_config(self) -> None:
        """Refuse what the installed cosmos-xenna does not know.

        Raises:
            ValueError: with the nearest known key, or the version that has it.
        """
        self._options = parse_config(self.config, COMMON_KEYS)

    def execute(self, stages: list[Any], initial_tasks: list[Any] | None = None) -> list[Any]:
        """Run the stages on the initial tasks (none: one EmptyTask); the tasks that leave the last stage."""
        tasks = self.first_tasks(initial_tasks)
        if not stages:
            return tasks
        settings = [parse_stage(stage) for stage in stages]
        # The variables are for a Ray that starts here; one that runs already got them from whoever started it.
        with (
            scoped_environment({**RAY_START_ENV, XENNA_METRICS_PORT: None}),
            ray_session(),
            RunMonitor("xenna", stages, self.policy) as monitor,
        ):
            adapters = [
                StageAdapter(
                    stage,
                    self._stage_policy(setting),
                    kill_when_hung=True,
                    tracking=monitor.checkpoint.tracking(index),
                )
                for index, (stage, setting) in enumerate(zip(stages, settings, strict=True))
            ]
            sources = Sources(len(stages), tasks)
            prepared: set[tuple[int, str]] = set()
            patience_s = 0.0

            def run_round() -> None:
                nonlocal patience_s
                first = sources.first_stage
                placed = self._place(adapters[first:], settings[first:], sources, patience_s)
                patience_s = placement.NODE_PATIENCE_S
                self._run(adapters, settings, sources, prepared, monitor, placed)
                sources.check_finished()
                monitor.check_counts(len(tasks), len(sources.outputs))

            run_rounds(run_round, monitor, sources, alive_nodes)
        return sources.outputs

    def _run(
        self,
        adapters: Sequence[StageAdapter],
        settings: Sequence[StageOptions],
        sources: Sources,
        prepared: set[tuple[int, str]],
        monitor: RunMonitor,
        placed: _Placed,
    ) -> None:
        """Run what is not finished of the sources on the nodes that are there now."""
        options = self._options
        first = sources.first_stage
        policies = [adapter.policy for adapter in adapters]
        adapters, settings, tasks = adapters[first:], settings[first:], sources.unfinished
        specs = [
            StageSpec(
                stage=XennaStage(
                    adapter,
                    Requests(adapter.name, cpus, float(adapter.stage.resources.gpus), adapter.batch_size),
                    StageRuntimeEnv(getattr(adapter.stage, "runtime_env", None), placed.cluster.gpu_names),
                    next_batch_size=following.batch_size if following else None,
                    place=Place(
                        is_single_source=sources.single and index == 0 and following is not None,
                        prepared_nodes=frozenset(node for stage, node in prepared if stage == index),
                        shares_chunks=not options.batch,
                    ),
                ),
                num_workers=count,
                **setting.overrides,
            )
            for index, adapter, following, cpus, count, setting in zip(
                range(first, first + len(adapters)),
                adapters,
                [*adapters[1:], None],
                placed.stage_cpus,
                placed.workers,
                settings,
                strict=True,
            )
        ]
        config = options.pipeline_config()
        if not placed.cluster.has_gpus and _CLEAR_CUDA not in self.config:
            # Nothing to hide, and without a variable of their own workers start from Ray's warm processes.
            setattr(config, _CLEAR_CUDA, False)
        limits = [None] * first + [
            setting.limit(options.max_workers_per_stage) if count is None else None
            for count, setting in zip(placed.workers, settings, strict=True)
        ]
        monitor.progress.gauge(first, expected=monitor.progress.stages[first].tasks_in + len(tasks))
        run = XennaRun(monitor, sources, policies, limits, first)
        sizes = [adapter.batch_size for adapter in adapters]
        most = 1 if options.batch else batches_per_chunk(size_of(tasks), len(tasks), sizes[0])
        chunks = make_chunks(tasks, sources.unfinished_groups, sizes[0], most)
        try:
            self._run_engine(v1.PipelineSpec(_Inputs(chunks), specs, config), run, placed.described, sizes)
        finally:
            prepared |= run.prepared

    def _place(
        self,
        adapters: Sequence[StageAdapter],
        settings: Sequence[StageOptions],
        sources: Sources,
        patience_s: float,
    ) -> _Placed:
        """Place the stages on the nodes that are alive; where they do not fit, wait so many seconds for nodes to join.

        Raises:
            DoesNotFitError: they do not fit together, or there was no waiting.
            WorkerLostError: no node has joined that could hold a worker of some stage.
        """
        deadline = time.monotonic() + patience_s
        batches = -(-len(sources.unfinished) // adapters[0].batch_size)
        while True:
            cluster = Cluster(ignore_head_node=self.ignore_head_node)
            workers = [setting.workers(len(cluster.nodes)) for setting in settings]
            if workers[0] is None and batches == 1:
                workers[0] = 1  # one batch keeps one worker busy; the engine would give it a share of the cluster
            demands = _demands([adapter.stage for adapter in adapters], workers)
            try:
                described, found = cluster.plan(demands, self._options.cpu_share, together=not self._options.batch)
            except DoesNotFitError as error:
                if time.monotonic() >= deadline:
                    raise (_lost_last_node(adapters, cluster) if patience_s else None) or error from None
                time.sleep(_LOOK_S)
            else:
                workers = [fixed or extra for fixed, extra in zip(workers, found.stage_workers, strict=True)]
                return _Placed(cluster, described, found.stage_cpus, workers)

    def _stage_policy(self, setting: StageOptions) -> FailurePolicy:
        if setting.ignore_failures is None:
            return self.policy
        action = OnTaskError.SKIP if setting.ignore_failures else OnTaskError.FAIL
        return replace(self.policy, on_task_error=action)

    def _run_engine(self, pipeline: Any, run: XennaRun, described: Any, batch_sizes: list[int]) -> None:
        options = self._options
        logger.info(
            f"cosmos-xenna {xenna_version()}, {'batch' if options.batch else 'streaming'} mode, "
            f"{len(pipeline.stages)} stage(s), {len(run.sources.unfinished_groups)} task(s) to begin with"
        )
        started = time.time()
        address = ray.get_runtime_context().gcs_address
        try:
            with (
                scoped_environment({"RAY_ADDRESS": address}),
                adjusted_engine(
                    run,
                    lambda *_args, **_kwargs: described,
                    batch_sizes,
                    batch_mode=options.batch,
                    resource_monitor=options.resource_monitor,
                ),
            ):
                try:
                    v1.run_pipeline(pipeline)
                finally:
                    run.stop()
        except Exception as error:
            own = executor_error(error)
            if own is None:
                raise
            raise own from None
        finally:
            end_worker_processes(started)


@dataclass(frozen=True)
class _Placed:
    """Where the stages run."""

    cluster: Cluster
    described: Any
    stage_cpus: list[float]
    workers: list[int | None]


class _Inputs(list[Chunk]):
    """The input, which the engine would copy deeply together with its specification."""

    def __deepcopy__(self, memo: Mapping[int, Any]) -> _Inputs:
        return self


def _lost_last_node(adapters: Sequence[StageAdapter], cluster: Cluster) -> WorkerLostError | None:
    """The error of the first stage that no node could hold a worker of."""
    nodes = cluster.nodes
    for adapter in adapters:
        asked = adapter.stage.resources
        need = placement.shrunk(placement.Need(float(asked.cpus), float(asked.gpus)), nodes)
        if error := placement.lost_last_node(adapter.name, need, nodes):
            return error
    return None


def _demands(stages: Sequence[Any], workers: Sequence[int | None]) -> list[Demand]:
    return [
        Demand(
            stage.name,
            float(stage.resources.cpus),
            float(stage.resources.gpus),
            workers=count or 1,
            fixed=count is not None,
        )
        for stage, count in zip(stages, workers, strict=True)
    ]
