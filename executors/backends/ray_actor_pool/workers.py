"""Workers from their start to their end, apart from the work that they do: setup, once per node and once per worker."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker
from curator_slurm.executors.backends.ray_actor_pool.teardown import Teardowns
from curator_slurm.executors.backends.ray_actor_pool.worker_process import PoolWorker
from curator_slurm.executors.run.blame import check_start_up
from curator_slurm.executors.run.ray_errors import WORKER_DIED, executor_error, worker_cannot_start
from curator_slurm.executors.task_failures import ExecutorError, StageError, WorkerLostError, short_error

log = logging.getLogger(__name__)

Pending = dict[Any, Callable[[Any], None]]
"""What the run waits for: references and what to do with each."""


class Workers:
    """Starts and ends the workers of all stages. `on_dead` is told of those that die while they start."""

    def __init__(
        self,
        stages: Sequence[StageState],
        nodes: Nodes,
        pending: Pending,
        actor_options: Callable[[StageState, str], dict[str, Any]],
        on_dead: Callable[[Worker, BaseException], None],
    ) -> None:
        self._stages = stages
        self._nodes = nodes
        self._pending = pending
        self._actor_options = actor_options
        self._on_dead = on_dead
        self._adapter_refs = [_put_adapter(stage.adapter) for stage in stages]
        self._actor_class = ray.remote(PoolWorker)
        self._held: dict[tuple[int, str], list[Worker]] = {}
        self.teardowns = Teardowns(stages, nodes, pending)

    def start(self, stage: StageState, node_id: str) -> None:
        """A new worker on this node, whose resources are reserved already."""
        options = self._actor_options(stage, node_id)
        strategy = NodeAffinitySchedulingStrategy(node_id, soft=False)
        actor = self._actor_class.options(**options, scheduling_strategy=strategy)
        worker = Worker(actor.remote(self._adapter_refs[stage.index]), stage.index, node_id)
        stage.workers.append(worker)
        key = (stage.index, node_id)
        if node_id in stage.prepared_nodes:
            self._prepare(worker)
        elif key in self._held:  # another worker is running setup_on_node there
            self._held[key].append(worker)
        else:
            self._held[key] = []
            self._prepare_node(worker)

    def retire(self, worker: Worker) -> None:
        """End a worker as soon as it has done what it was given; at once if it is not ready for any.

        One that runs `setup_on_node` is waited for: others on its node may need what it leaves there.
        """
        worker.retiring = True
        if worker.idle:
            self.teardowns.begin(worker)
        elif not worker.ready and not worker.prepares_node:
            stage = self._stages[worker.stage]
            stage.workers.remove(worker)
            self._nodes.give_back(worker.node_id, stage.need)
            ray.kill(worker.actor)

    def _prepare_node(self, worker: Worker) -> None:
        worker.prepares_node = True
        ref = worker.actor.prepare_node.remote()
        self._pending[ref] = lambda ref: self._on_node_prepared(worker, ref)

    def _on_node_prepared(self, worker: Worker, ref: Any) -> None:
        alive = self._arrived(worker, ref)
        worker.prepares_node = False
        stage = self._stages[worker.stage]
        held = [other for other in self._held.pop((worker.stage, worker.node_id), []) if other in stage.workers]
        if not alive:
            if held:
                self._held[(worker.stage, worker.node_id)] = held[1:]
                self._prepare_node(held[0])
            return
        worker.up_since = time.monotonic()
        stage.prepared_nodes.add(worker.node_id)
        for other in [worker, *held]:
            if other.retiring:
                self.retire(other)
            else:
                self._prepare(other)

    def _prepare(self, worker: Worker) -> None:
        ref = worker.actor.prepare.remote()
        self._pending[ref] = lambda ref: self._on_prepared(worker, ref)

    def _on_prepared(self, worker: Worker, ref: Any) -> None:
        if not self._arrived(worker, ref):
            return
        stage = self._stages[worker.stage]
        worker.ready = True
        worker.idle_since = time.monotonic()
        worker.up_since = worker.up_since or worker.idle_since
        stage.start_up_deaths = 0
        stage.learn_start(worker, ray.get(ref))
        if worker.retiring:
            self.teardowns.begin(worker)

    def _arrived(self, worker: Worker, ref: Any) -> bool:
        """Whether a call of a worker that starts has succeeded; False if the worker is dead, or was ended."""
        stage = self._stages[worker.stage]
        if worker not in stage.workers:
            with contextlib.suppress(Exception):  # Ray logs every error that was never fetched
                ray.get(ref, timeout=0)
            return False
        try:
            ray.get(ref)
        except WORKER_DIED as error:
            if worker_cannot_start(error):
                raise WorkerLostError(f"no worker of stage {stage.name!r} can be started: {error}") from None
            self._nodes.refresh(force=True)
            stage.start_up_deaths += self._nodes.is_alive(worker.node_id)
            check_start_up(stage.name, stage.start_up_deaths, str(error))
            self._on_dead(worker, error)
            return False
        except RayError as error:
            raise run_error(error, stage.name) from None
        return True


def run_error(error: RayError, stage: str) -> ExecutorError:
    """What a run ends with when a call of a stage has failed."""
    return executor_error(error) or StageError(stage, "a worker", short_error(error), str(error))


def _put_adapter(adapter: StageAdapter) -> Any:
    try:
        return ray.put(adapter)
    except Exception as error:
        raise ExecutorError(f"stage {adapter.name!r} cannot be sent to workers: {short_error(error)}") from error
