"""Workers that have done their work: they call `teardown`, and what they held is free when they have ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from curator_slurm.executors.adapter.deadline import TEARDOWN_S
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState, Worker
from curator_slurm.executors.run.ray_errors import WORKER_DIED, executor_error
from curator_slurm.executors.task_failures import short_error

log = logging.getLogger(__name__)


class Teardowns:
    """Those under way. `pending` is what the run waits for: references and what to do with each."""

    def __init__(self, stages: Sequence[StageState], nodes: Nodes, pending: dict[Any, Callable[[Any], None]]) -> None:
        self._stages = stages
        self._nodes = nodes
        self._pending = pending
        self._under_way: dict[Any, Worker] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    @property
    def workers(self) -> Collection[Worker]:
        """Workers that have not ended yet."""
        return self._under_way.values()

    def begin(self, worker: Worker) -> None:
        """Let a worker without work end."""
        stage = self._stages[worker.stage]
        stage.workers.remove(worker)
        stage.leaving.append(worker)
        worker.closing_since = time.monotonic()
        ref = worker.actor.teardown.remote()
        self._under_way[ref] = worker
        self._pending[ref] = self._on_ended

    def end_slow(self) -> None:
        """Kill the workers that take too long."""
        for ref, worker in list(self._under_way.items()):
            if time.monotonic() - worker.closing_since > TEARDOWN_S:
                log.warning(
                    "teardown of stage %r takes more than %g s; its worker is killed and the run continues",
                    self._stages[worker.stage].name, TEARDOWN_S,
                )  # fmt: skip
                self._pending.pop(ref, None)
                self._free(self._under_way.pop(ref))
                ray.kill(worker.actor)

    def _on_ended(self, ref: Any) -> None:
        worker = self._under_way.pop(ref)
        stage = self._stages[worker.stage]
        self._free(worker)
        try:
            ray.get(ref)
        except WORKER_DIED as error:
            log.warning("a worker of stage %r died in teardown: %s", stage.name, short_error(error))
        except RayError as error:  # its work is done
            why = executor_error(error) or error
            log.warning("teardown of stage %r failed; the run continues: %s", stage.name, why)
        finally:
            ray.kill(worker.actor)

    def _free(self, worker: Worker) -> None:
        stage = self._stages[worker.stage]
        stage.leaving.remove(worker)
        self._nodes.give_back(worker.node_id, stage.need)
