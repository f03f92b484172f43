"""Parts of cosmos-xenna that a run replaces, put back when it ends.

Each replacement has a reason:

- the pool of workers: workers may die without losing tasks, results carry reports.
- the queue between stages, and the grouping of batch mode: several small tasks travel as one object.
- the description of the cluster: CPUs that fit the pipeline, GPUs as Ray counts them.
- the solver: it is asked when a plan is due, not every three minutes, and followed where the plan pays.
- the resource monitor: it takes one whole Ray CPU and one process per node, holds up the main loop until it has
  started, scans all processes each second, is never stopped before 0.5.9, and needs the dashboard of the right cluster.
  The ``resource_monitor`` option brings it back, with processes that end with their Ray.

Only what the installed version supports is replaced: see `names`.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from curator_slurm.executors import ray_internals
from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.backends.xenna.engine.groups import Groups, grouped_problem, grouped_solver
from curator_slurm.executors.backends.xenna.engine.orphans import end_with_ray
from curator_slurm.executors.backends.xenna.engine.solver import Plans, due_solver

_POOL = "cosmos_xenna.ray_utils.actor_pool"
_STREAMING = "cosmos_xenna.pipelines.private.streaming"
_BATCH = "cosmos_xenna.pipelines.private.batch"
_CLUSTER = "cosmos_xenna.ray_utils.cluster"
_PROBLEM = "cosmos_xenna.pipelines.private.data_structures"
_ALGORITHMS = "cosmos_xenna.pipelines.private.autoscaling_algorithms"
_MONITORING = "cosmos_xenna.pipelines.private.monitoring"
_GPU = "cosmos_xenna.utils.gpu"

_one_run = threading.Lock()


@dataclass(frozen=True)
class Replacements:
    """What takes the place of the engine's own parts; None: the engine's part stays."""

    make_pool: Callable[..., Any] | None = None
    make_queue: Callable[[], Any] | None = None
    grouping: Any = None
    describe_cluster: Callable[..., Any] | None = None
    plans: Plans | None = None
    """When the engine's solver is asked, and followed."""
    groups: Groups | None = None
    """Which stages may be on which nodes; None: all on all."""


class NoResourceMonitor:
    """Measures nothing, costs nothing."""

    def update(self) -> dict[str, Any]:
        """No measurement of any node."""
        return {}

    def stop(self) -> None:
        """There is nothing to stop."""


@contextmanager
def replaced_parts(parts: Replacements, features: frozenset[str], *, resource_monitor: bool) -> Iterator[None]:
    """Run the engine with these parts; one run at a time, because the engine's modules are shared.

    Raises:
        RuntimeError: another run is under way in this process.
    """
    if not _one_run.acquire(blocking=False):
        raise RuntimeError("another XennaExecutor is running in this process; run one pipeline after the other")
    before: list[tuple[Any, str, Any]] = []
    monitors: list[Any] = []
    try:
        for module_name, name, value in _changes(parts, features, monitors, resource_monitor=resource_monitor):
            module = importlib.import_module(module_name)
            before.append((module, name, getattr(module, name)))
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in reversed(before):
            setattr(module, name, value)
        _one_run.release()
        for monitor in monitors:
            for actor in getattr(monitor, "_monitors", ()):  # emptied by the versions that stop them
                ray.kill(actor)


def _changes(
    parts: Replacements, features: frozenset[str], monitors: list[Any], *, resource_monitor: bool
) -> list[tuple[str, str, Any]]:
    given = [
        (_POOL, "ActorPool", parts.make_pool),
        (_STREAMING, "Queue", parts.make_queue),
        (_BATCH, "grouping", parts.grouping),
        (_CLUSTER, "make_cluster_resources_from_ray_nodes", parts.describe_cluster),
    ]
    changes: list[tuple[str, str, Any]] = [change for change in given if change[2] is not None]
    original = solver = importlib.import_module(_ALGORITHMS).FragmentationBasedAutoscaler
    if parts.groups is not None:
        problem = importlib.import_module(_PROBLEM).Problem
        changes.append((_PROBLEM, "Problem", grouped_problem(problem, parts.groups)))
        solver = grouped_solver(solver)
    if parts.plans is not None:
        solver = due_solver(solver, parts.plans)
    if solver is not original:
        changes.append((_ALGORITHMS, "FragmentationBasedAutoscaler", solver))
    if not resource_monitor and names.NO_MONITOR in features:
        changes += [
            (_MONITORING, "RayResourceMonitor", NoResourceMonitor),
            (_MONITORING, "get_ray_actors", lambda *_args, **_kwargs: []),
        ]
    elif names.MONITOR_END in features:
        changes += _ended_monitor(monitors)
    return changes


def _ended_monitor(monitors: list[Any]) -> list[tuple[str, str, Any]]:
    """The engine's own monitor, whose actors are killed with the run, and end with their Ray."""
    monitoring = importlib.import_module(_MONITORING)
    original = monitoring.RayResourceMonitor

    def make_monitor() -> Any:
        monitors.append(original())
        return monitors[-1]

    changes: list[tuple[str, str, Any]] = [(_MONITORING, "RayResourceMonitor", make_monitor)]
    ended = ending_with_ray(monitoring.NodeResourceMonitor)
    return [*changes, (_MONITORING, "NodeResourceMonitor", ended)] if ended is not None else changes


def ending_with_ray(monitor: Any) -> Any:
    """The engine's monitoring actor, of which no process outlives its Ray; None where Ray does not let us derive it."""
    measuring: Any = ray_internals.class_of_actor(monitor)
    if measuring is None:
        return None

    class NodeResourceMonitor(measuring):  # type: ignore[misc]
        def __init__(self) -> None:
            end_with_ray()
            super().__init__()

    return ray.remote(num_cpus=1.0)(NodeResourceMonitor)


class AnyGpuName:
    """In a worker: the engine's check for GPUs accepts names that are neither number nor UUID (MIG), until `undo`."""

    def __init__(self) -> None:
        self._original: Any = None
        if names.NAMES.supports(names.GPU_CHECK):
            module = importlib.import_module(_GPU)
            self._original = module.get_num_gpus
            setattr(module, "get_num_gpus", _count_visible)  # noqa: B010

    def undo(self) -> None:
        """Put the engine's own check back."""
        if self._original is not None:
            setattr(importlib.import_module(_GPU), "get_num_gpus", self._original)  # noqa: B010
            self._original = None


def _count_visible() -> int:
    return len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()])
