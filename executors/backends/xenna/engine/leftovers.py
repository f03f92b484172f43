"""No worker process of a run may outlive it, on any node.

cosmos-xenna before 0.5.9 starts threads that keep a worker process alive after Ray has let go of it.
Only processes of this run's own actors are looked at, and only those that do not end by themselves.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import psutil
import ray
from loguru import logger
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_slurm.executors.backends.xenna.engine.names import ACTOR_CLASSES
from curator_slurm.executors.ray_internals import actors_of_this_job

_PATIENCE_S = 0.25  # they were killed already; what still runs after this hangs in its threads
_REMOTE_TIMEOUT_S = 15.0


def engine_actors(since: float) -> list[dict[str, Any]]:
    """The engine's actors that this driver started after ``since``, dead or alive."""
    return [
        actor
        for actor in actors_of_this_job()
        if actor["ActorClassName"] in ACTOR_CLASSES and actor["StartTime"] / 1000 >= since - 1
    ]


def end_worker_processes(since: float) -> None:
    """Wait until the processes of these actors are gone, and kill those that stay."""
    try:
        actors = engine_actors(since)
        by_node: dict[str, list[int]] = defaultdict(list)
        for actor in actors:
            if actor.get("Pid"):
                by_node[actor["Address"]["NodeID"]].append(actor["Pid"])
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        here = ray.get_runtime_context().get_node_id()
        elsewhere = [
            _end_processes_there.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
            ).remote(pids)
            for node_id, pids in by_node.items()
            if node_id != here and node_id in alive
        ]
        end_processes(by_node.get(here, []))
        if elsewhere:
            ray.wait(elsewhere, num_returns=len(elsewhere), timeout=_REMOTE_TIMEOUT_S)
    except Exception as error:
        # The run's own result or failure matters more; the node agent ends what is left.
        logger.warning(f"could not check for remaining worker processes: {error}")


def end_processes(pids: Sequence[int], patience_s: float = _PATIENCE_S) -> list[int]:
    """Give processes of this node time to end, then kill them; returns those that had to be killed."""
    waiting = [process for pid in pids if (process := _ray_worker(pid))]
    deadline = time.monotonic() + patience_s
    while waiting and time.monotonic() < deadline:
        time.sleep(0.02)
        waiting = [process for process in waiting if _runs(process)]
    killed = []
    for process in waiting:
        try:
            process.kill()
            killed.append(process.pid)
        except psutil.NoSuchProcess:
            continue
    if killed:
        logger.debug(f"killed worker process(es) that did not end by themselves: {killed}")
    return killed


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _end_processes_there(pids: list[int]) -> list[int]:
    return end_processes(pids)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _ray_worker(pid: int) -> psutil.Process | None:
    """The process, if it still is a Ray worker and not a later one with its number."""
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        ours = bool(command) and command[0].startswith("ray::")
        return process if ours and _runs(process) else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
