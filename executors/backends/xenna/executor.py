"""XennaExecutor: all stages of a pipeline at once on cosmos-xenna, scaled to balance each other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from cosmos_xenna.pipelines import v1
from loguru import logger

from curator_slurm.executors import ray_internals
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.task_size import size_of
from curator_slurm.executors.backends.xenna.chunks import batches_per_chunk, make_chunks
from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.backends.xenna.engine.leftovers import end_worker_processes
from curator_slurm.executors.backends.xenna.engine.patches import Replacements, replaced_parts
from curator_slurm.executors.backends.xenna.engine.solver import ASK_S
from curator_slurm.executors.backends.xenna.fit import MIN_CPUS, Demand, check_each_fits
from curator_slurm.executors.backends.xenna.gpus import StageRuntimeEnv
from curator_slurm.executors.backends.xenna.groups import with_groups
from curator_slurm.executors.backends.xenna.options import StageOptions, parse_config, parse_stage, xenna_version
from curator_slurm.executors.backends.xenna.placement import AliveNodes
from curator_slurm.executors.backends.xenna.plain import PlainStage, ReportReader
from curator_slurm.executors.backends.xenna.replacements import replacements
from curator_slurm.executors.backends.xenna.run import XennaRun
from curator_slurm.executors.backends.xenna.worker_process import Place, Requests, StageSpec, XennaStage
from curator_slurm.executors.backends.xenna_env import RAY_START_ENV, XENNA_METRICS_PORT, scoped_environment
from curator_slurm.executors.base import BaseExecutor
from curator_slurm.executors.known_options import COMMON_KEYS
from curator_slurm.executors.ray_connection import dead_nodes, ray_session
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.placement import NodePatience, need_of
from curator_slurm.executors.run.ray_errors import executor_error
from curator_slurm.executors.run.rounds import run_rounds
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import DoesNotFitError, FailurePolicy, OnTaskError

_CLEAR_CUDA = "clear_cuda_visible_devices_on_cpu_actors"


class XennaExecutor(BaseExecutor):
    """Runs a pipeline on cosmos-xenna 0.2.0 to 0.5.12.

    `config` takes `execution_mode` (`streaming` or `batch`), `logging_interval`, `cpu_allocation_percentage`,
    `autoscale_interval_s`, `max_workers_per_stage`, the failure policy of all back ends, `resource_monitor` (measure
    CPU and memory per stage: one more process on every node), and every option that the installed cosmos-xenna has for
    pipelines and streaming, under its own name. Stages may override some of them in `xenna_stage_spec()`.
    """

    def check_config(self) -> None:
        """Refuse what the installed cosmos-xenna does not know.

        Raises:
            ValueError: with the nearest known key, or the version that has it.
        """
        self._options = parse_config(self.config, COMMON_KEYS)

    def check_stages(self, stages: Sequence[Any]) -> None:
        """Refuse options of stages that the installed cosmos-xenna does not know.

        Raises:
            ValueError: names the stage and its option.
        """
        for stage in stages:
            parse_stage(stage)

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
            features = _usable_features()
            adapters = [
                monitor.adapter(index, stage, self._stage_policy(setting))
                for index, (stage, setting) in enumerate(zip(stages, settings, strict=True))
            ]
            sources = Sources(len(stages), tasks)
            prepared: set[tuple[int, str]] = set()
            outputs: list[Any] = []

            def place() -> _Placed:
                first = sources.first_stage
                return self._place(adapters[first:], settings[first:], sources, features)

            def run_round(placed: _Placed) -> None:
                nonlocal outputs
                if names.WORKERS in features:
                    self._run(adapters, settings, sources, prepared, monitor, placed)
                    monitor.drain.check_end()
                    sources.check_finished()
                    outputs = sources.outputs
                else:
                    outputs = self._run_plain(adapters, settings, tasks, monitor, placed)
                monitor.check_counts(len(tasks), len(outputs))

            run_rounds(place, run_round, monitor, sources, dead_nodes, NodePatience(*self.resource_wait))
        return outputs

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
        chunk = names.BATCHED_CHUNKS if options.batch else names.STREAMED_CHUNKS
        in_chunks = chunk in placed.features
        sizes = [adapter.batch_size if in_chunks else 1 for adapter in adapters]
        stages = [
            XennaStage(
                adapter,
                placed.requests(adapter, index),
                placed.env(adapter),
                next_batch_size=following,
                place=Place(
                    is_single_source=sources.single and first + index == 0 and following is not None,
                    prepared_nodes=frozenset(node for stage, node in prepared if stage == first + index),
                    shares_chunks=in_chunks and not options.batch,
                ),
            )
            for index, (adapter, following) in enumerate(zip(adapters, [*sizes[1:], None], strict=True))
        ]
        limits = [None] * first + [
            setting.limit(options.max_workers_per_stage, batches) if count is None else None
            for count, setting, batches in zip(
                placed.workers, settings, [_batches(tasks, adapters[0]), *[None] * (len(settings) - 1)], strict=True
            )
        ]
        monitor.progress.gauge(first, expected=monitor.progress.stages[first].tasks_in + len(tasks))
        run = XennaRun(monitor, sources, policies, limits, first)
        most = batches_per_chunk(size_of(tasks), len(tasks), sizes[0]) if in_chunks and not options.batch else 1
        inputs = make_chunks(tasks, sources.unfinished_groups, sizes[0], most)
        parts = replacements(run, placed.features, sizes, options)
        try:
            self._run_engine(inputs, stages, settings, placed, parts)
        finally:
            run.stop()
            prepared |= run.prepared

    def _run_plain(
        self,
        adapters: Sequence[StageAdapter],
        settings: Sequence[StageOptions],
        tasks: list[Any],
        monitor: RunMonitor,
        placed: _Placed,
    ) -> list[Any]:
        """Run all tasks on the engine's own workers; what the last stage gives."""
        monitor.progress.gauge(0, expected=len(tasks))
        with ReportReader(monitor, self.policy) as reader:
            stages = [
                PlainStage(
                    adapter, placed.requests(adapter, index), placed.env(adapter), position=index, reports=reader.actor
                )
                for index, adapter in enumerate(adapters)
            ]
            return self._run_engine(tasks, stages, settings, placed, Replacements(), return_outputs=True)

    def _place(
        self,
        adapters: Sequence[StageAdapter],
        settings: Sequence[StageOptions],
        sources: Sources,
        features: frozenset[str],
    ) -> _Placed:
        """Place the stages on the nodes that are alive.

        Raises:
            DoesNotFitError: they do not fit.
        """
        batches = _batches(sources.unfinished, adapters[0])
        cluster = AliveNodes(ignore_head_node=self.ignore_head_node)
        stages = [adapter.stage for adapter in adapters]
        workers = [
            setting.workers(cluster.count(need_of(stage).group))
            for stage, setting in zip(stages, settings, strict=True)
        ]
        if workers[0] is None and batches == 1:
            workers[0] = 1  # one batch keeps one worker busy; the engine would give it a share of the cluster
        demands, chosen = with_groups(_demands(stages, workers), cluster.nodes)
        if chosen:
            logger.info(f"stages that name no group of nodes run in: {', '.join(chosen)}")
        bound = next((demand for demand in demands if demand.group is not None), None)
        if bound is not None and (names.GROUPS not in features or self.config.get("saturation_aware")):
            with_what = "with `saturation_aware`" if names.GROUPS in features else f"of version {xenna_version()}"
            raise DoesNotFitError(
                f"stage {bound.stage!r} names a group of nodes, which cosmos-xenna {with_what} cannot be kept to; use "
                "another executor, or let all stages run everywhere"
            )
        if names.CLUSTER not in features:
            check_each_fits(cluster.nodes, demands)
            cpus = [max(demand.cpus, MIN_CPUS) for demand in demands]
            return _Placed(cluster, None, cpus, workers, features, demands)
        described, found = cluster.plan(
            demands, self._options.cpu_share, together=not self._options.batch, ask_engine=names.SOLVER in features
        )
        most = [batches, *[None] * (len(workers) - 1)]
        workers = [
            fixed or (extra and setting.limit(self._options.max_workers_per_stage, extra, few))
            for fixed, extra, few, setting in zip(workers, found.stage_workers, most, settings, strict=True)
        ]
        return _Placed(cluster, described, found.stage_cpus, workers, features, demands)

    def _stage_policy(self, setting: StageOptions) -> FailurePolicy:
        if setting.ignore_failures is None:
            return self.policy
        action = OnTaskError.SKIP if setting.ignore_failures else OnTaskError.FAIL
        return replace(self.policy, on_task_error=action)

    def _run_engine(
        self,
        inputs: Sequence[Any],
        stages: Sequence[XennaStage],
        settings: Sequence[StageOptions],
        placed: _Placed,
        parts: Replacements,
        *,
        return_outputs: bool = False,
    ) -> list[Any]:
        options = self._options
        ask_s = None if parts.plans is None else ASK_S
        config = options.pipeline_config(return_outputs=return_outputs, ask_s=ask_s)
        if not placed.cluster.has_gpus and _CLEAR_CUDA not in self.config:
            # Nothing to hide, and without a variable of their own workers start from Ray's warm processes.
            setattr(config, _CLEAR_CUDA, False)
        specs = [
            StageSpec(stage=stage, num_workers=count, **setting.overrides)
            for stage, count, setting in zip(stages, placed.workers, settings, strict=True)
        ]
        groups = placed.cluster.groups(placed.demands, [spec.name(index) for index, spec in enumerate(specs)])
        parts = replace(parts, groups=groups)
        if placed.described is not None:
            parts = replace(parts, describe_cluster=lambda *_args, **_kwargs: placed.described)
        logger.info(
            f"cosmos-xenna {xenna_version()}, {'batch' if options.batch else 'streaming'} mode, "
            f"{len(stages)} stage(s), {len(inputs)} object(s) to begin with"
        )
        started = time.time()
        address = ray.get_runtime_context().gcs_address
        try:
            with (
                scoped_environment({"RAY_ADDRESS": address}),
                replaced_parts(parts, placed.features, resource_monitor=options.resource_monitor),
            ):
                return v1.run_pipeline(v1.PipelineSpec(_Inputs(inputs), specs, config)) or []
        except Exception as error:
            own = executor_error(error)
            if own is None:
                raise
            raise own from None
        finally:
            end_worker_processes(started)


def _usable_features() -> frozenset[str]:
    """What the installed cosmos-xenna and Ray allow; the log says what they do not."""
    names.NAMES.warn(logger.warning)
    names.NAMES.warn_untested(logger.warning)
    ray_internals.warn_of_changes(logger.warning, *ray_internals.ENGINE)
    return names.NAMES.supported()


@dataclass(frozen=True)
class _Placed:
    """Where the stages of a round run, and what of the engine can be used."""

    cluster: AliveNodes
    described: Any
    """The cluster as the engine is to see it; None: as it sees it by itself."""
    stage_cpus: list[float]
    workers: list[int | None]
    features: frozenset[str]
    demands: list[Demand]

    def requests(self, adapter: StageAdapter, index: int) -> Requests:
        """What the engine is told of a stage."""
        gpus = float(adapter.stage.resources.gpus)
        return Requests(adapter.name, self.stage_cpus[index], gpus, adapter.batch_size)

    def env(self, adapter: StageAdapter) -> Any:
        """The runtime environment of its workers."""
        asked = getattr(adapter.stage, "runtime_env", None)
        if names.RUNTIME_ENV in self.features:
            return StageRuntimeEnv(asked, self.cluster.gpu_names)
        return v1.RuntimeEnv(extra_env_vars=dict((asked or {}).get("env_vars") or {}))


class _Inputs(list[Any]):
    """The input, which the engine would copy deeply together with its specification."""

    def __deepcopy__(self, memo: Mapping[int, Any]) -> _Inputs:
        return self


def _batches(tasks: Sequence[Any], first: StageAdapter) -> int:
    """How many batches the first stage gets: it has no use for more workers."""
    return -(-len(tasks) // first.batch_size)


def _demands(stages: Sequence[Any], workers: Sequence[int | None]) -> list[Demand]:
    return [
        Demand(
            stage.name,
            float(stage.resources.cpus),
            float(stage.resources.gpus),
            workers=count or 1,
            fixed=count is not None,
            group=need_of(stage).group,
        )
        for stage, count in zip(stages, workers, strict=True)
    ]
