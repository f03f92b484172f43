"""The few parts of cosmos-xenna that a run replaces, put back when it ends.

Each replacement has a reason:

- ``actor_pool.ActorPool``: workers may die without losing tasks, results carry reports (`RunPool`).
- ``streaming.Queue`` and ``batch.grouping``: several small tasks travel as one object (`ChunkQueue`).
- ``cluster.make_cluster_resources_from_ray_nodes``: CPUs that fit the pipeline, GPUs as Ray counts them.
- ``monitoring.RayResourceMonitor`` and ``get_ray_actors``: the monitor takes one whole Ray CPU and one
  process per node, holds up the main loop until it has started, scans all processes each second, is
  never stopped before 0.5.9, and needs the dashboard of the right cluster. The ``resource_monitor``
  option brings it back, as a ``NodeResourceMonitor`` that ends with its Ray.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray
from cosmos_xenna.pipelines.private import batch, monitoring, streaming
from cosmos_xenna.ray_utils import actor_pool, cluster

from curator_slurm.executors.backends.xenna.options import xenna_version
from curator_slurm.executors.backends.xenna.orphans import end_with_ray
from curator_slurm.executors.backends.xenna.pool import RunContext, RunPool
from curator_slurm.executors.backends.xenna.queue import BatchGrouping, ChunkQueue

_one_run = threading.Lock()

_POOL_METHODS = (
    "add_actor_to_create",
    "_create_actor_for_worker_group",
    "_delete_worker_group",
    "_find_worker_groups_with_free_slots",
    "_move_pending_actor_to_ready_or_handle_failure",
    "_move_pending_node_actor_to_pending",
    "_pick_worker_group_for_task",
    "_process_completed_task",
    "_try_delete_ready_actor",
    "stop",
    "update",
)
_QUEUE_METHODS = ("add_task", "avg_samples_per_task", "get_all_samples", "maybe_get_batch")


class UnsupportedEngineError(RuntimeError):
    """The installed cosmos-xenna is built differently from the versions this was made for."""


class NoResourceMonitor:
    """Measures nothing, costs nothing."""

    def update(self) -> dict[str, Any]:
        """No node has anything to say."""
        return {}

    def stop(self) -> None:
        """Nothing runs."""


@contextmanager
def adjusted_engine(
    run: RunContext,
    describe_cluster: Callable[..., Any],
    batch_sizes: Sequence[int],
    *,
    batch_mode: bool,
    resource_monitor: bool,
) -> Iterator[None]:
    """Run the engine with our parts; one run at a time, because the engine's modules are shared."""
    _check_engine()

    grouping = BatchGrouping()

    def make_pool(*args: Any, **kwargs: Any) -> RunPool:
        return RunPool(*args, run=run, sizes=grouping.sizes if batch_mode else None, **kwargs)

    stages = iter(enumerate(batch_sizes, run.offset))

    def make_queue() -> ChunkQueue:
        """The engine makes its queues in the order of the stages that they feed, and one for the results."""
        stage, size = next(stages, (0, 0))
        return ChunkQueue(size, partial(run.more_batches, stage, size)) if size else ChunkQueue()

    monitors: list[Any] = []
    original_monitor = monitoring.RayResourceMonitor

    def make_monitor() -> Any:
        monitors.append(original_monitor())
        return monitors[-1]

    changes: list[tuple[Any, str, Any]] = [
        (actor_pool, "ActorPool", make_pool),
        (streaming, "Queue", make_queue),
        (batch, "grouping", grouping),
        (cluster, "make_cluster_resources_from_ray_nodes", describe_cluster),
    ]
    if resource_monitor:
        changes += [
            (monitoring, "RayResourceMonitor", make_monitor),
            (monitoring, "NodeResourceMonitor", ending_with_ray(monitoring.NodeResourceMonitor)),
        ]
    else:
        changes += [
            (monitoring, "RayResourceMonitor", NoResourceMonitor),
            (monitoring, "get_ray_actors", lambda *_args, **_kwargs: []),
        ]
    if not _one_run.acquire(blocking=False):
        raise RuntimeError("another XennaExecutor is running in this process; run one pipeline after the other")
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    try:
        for module, name, value in changes:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        _one_run.release()
        for monitor in monitors:
            for actor in getattr(monitor, "_monitors", ()):  # emptied by the versions that stop them
                ray.kill(actor)


def ending_with_ray(monitor: Any) -> Any:
    """The engine's monitoring actor, of which no process outlives its Ray."""
    measuring: Any = monitor.__ray_metadata__.modified_class

    class NodeResourceMonitor(measuring):  # type: ignore[misc]
        def __init__(self) -> None:
            end_with_ray()
            super().__init__()

    return ray.remote(num_cpus=1.0)(NodeResourceMonitor)


def _check_engine() -> None:
    missing = [f"ActorPool.{name}" for name in _POOL_METHODS if not hasattr(actor_pool.ActorPool, name)]
    missing += [f"Queue.{name}" for name in _QUEUE_METHODS if not hasattr(streaming.Queue, name)]
    missing += [name for name in ("RayResourceMonitor", "get_ray_actors") if not hasattr(monitoring, name)]
    if not hasattr(cluster, "make_cluster_resources_from_ray_nodes"):
        missing.append("make_cluster_resources_from_ray_nodes")
    if not hasattr(batch, "grouping"):
        missing.append("batch.grouping")
    if missing:
        raise UnsupportedEngineError(
            f"cosmos-xenna {xenna_version()} lacks {', '.join(missing)}, which XennaExecutor builds on; "
            "install a version from 0.2.0 to 0.5.12, or use RayActorPoolExecutor or RayDataExecutor"
        )
