"""A run on the actor pool in simulated time: the real queues, scaler and nodes' account, and workers that take a while.

A process is up after a second, `setup` takes as long as a stage says, and so does each batch.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from curator_slurm.executors import ProcessingStage, Resources
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_actor_pool.dispatch import free_worker
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.placement import fit_stages
from curator_slurm.executors.backends.ray_actor_pool.queue import TaskBlock
from curator_slurm.executors.backends.ray_actor_pool.scale import Scaler
from curator_slurm.executors.backends.ray_actor_pool.stage_state import Call, StageState, Worker

PROCESS_S = 1.0
STEP_S = 0.1


@dataclass(frozen=True)
class Work:
    """A stage: seconds for a batch of one task and for `setup`, and what it asks for."""

    seconds: float
    setup_s: float = 0.0
    cpus: float = 1.0
    gpus: float = 0.0
    outputs: int = 1
    spec: tuple[tuple[str, int], ...] = ()
    workers: int | None = None


class Stage(ProcessingStage[Any, Any]):
    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.resources = Resources(cpus=work.cpus, gpus=work.gpus)
        self._work = work

    def process(self, task: Any) -> Any:
        return task

    def ray_stage_spec(self) -> dict[str, Any]:
        return dict(self._work.spec)

    def num_workers(self) -> int | None:
        return self._work.workers


class Simulation:
    """`run` returns the seconds from the first worker's start to the last output."""

    def __init__(
        self, nodes: Sequence[tuple[float, float]], works: Sequence[Work], clock: Callable[[float], None]
    ) -> None:
        self.now = 1000.0
        self._set = clock
        self._set(self.now)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        listed = [
            {"NodeID": f"n{index}", "Alive": True, "Resources": {"CPU": cpus, "GPU": gpus}}
            for index, (cpus, gpus) in enumerate(nodes)
        ]
        self.works = works
        self.nodes = Nodes(lambda: listed)
        self.stages = [StageState(index, StageAdapter(Stage(f"s{index}", work))) for index, work in enumerate(works)]
        fit_stages(self.stages, self.nodes)
        self.started: Counter[int] = Counter()
        self.ended_ready: Counter[int] = Counter()
        self.on_nodes: Counter[str] = Counter()
        self.busy: Counter[int] = Counter()
        self.outputs = 0
        self.scaler = Scaler(self.stages, self.nodes, self._start, self._retire, lambda _: False)

    def run(self, tasks: int, limit_s: float) -> float:
        first = self.stages[0]
        self._put(0, tasks)
        first.upstream_done = True
        began = self.now
        while not self.stages[-1].finished:
            self._finish()
            self._dispatch()
            self.scaler.step()
            self._dispatch()
            self._check()
            step_ends = self.now + STEP_S
            assert self.now - began < limit_s, [(len(s.queue), len(s.workers), s.calls) for s in self.stages]
            while self._events and self._events[0][0] <= step_ends:
                self.now, _, event = heapq.heappop(self._events)
                self._set(self.now)
                event()
            self.now = step_ends
            self._set(self.now)
        return self.now - began

    def _after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def _put(self, stage: int, tasks: int) -> None:
        if tasks:
            self.stages[stage].queue.put(TaskBlock(None, tasks, tasks, [0] * tasks).all())

    def _check(self) -> None:
        """No node is ever asked for more than it has."""
        for node in self.nodes._nodes.values():
            here = [stage.need for stage in self.stages for worker in stage.workers if worker.node_id == node.node_id]
            assert sum(need.cpus for need in here) <= node.cpus + 1e-6
            assert sum(need.gpus for need in here) <= node.gpus + 1e-6
            assert node.free_cpus >= -1e-6
            assert node.free_gpus >= -1e-6

    # -- workers

    def _start(self, stage: StageState, node_id: str) -> None:
        self.started[stage.index] += 1
        worker = Worker(None, stage.index, node_id, born=self.now, idle_since=self.now)
        stage.workers.append(worker)

        def up() -> None:
            worker.up_since = self.now

        def ready() -> None:
            if worker in stage.workers:
                worker.ready = True
                worker.idle_since = self.now
                stage.learn_start(worker, self.works[stage.index].setup_s)
                if worker.retiring:
                    self._end(worker)

        self._after(PROCESS_S, up)
        self._after(PROCESS_S + self.works[stage.index].setup_s, ready)

    def _retire(self, worker: Worker) -> None:
        assert not worker.retiring
        worker.retiring = True
        if not worker.calls:
            self._end(worker)

    def _end(self, worker: Worker) -> None:
        stage = self.stages[worker.stage]
        stage.workers.remove(worker)
        self.ended_ready[stage.index] += worker.ready and not stage.finished
        self.nodes.give_back(worker.node_id, stage.need)

    # -- work

    def _finish(self) -> None:
        for stage, following in zip(self.stages, [*self.stages[1:], None], strict=True):
            if stage.exhausted and not stage.finished:
                stage.finished = True
                if following is not None:
                    following.upstream_done = True
                for worker in list(stage.workers):
                    if not worker.retiring:
                        self._retire(worker)

    def _dispatch(self) -> None:
        for stage in reversed(self.stages):
            while stage.can_form_batch and (worker := free_worker(stage)) is not None:
                batches, _ = stage.next_batches()
                call = Call(stage.index, batches, worker, [], 0, began=self.now)
                worker.calls.append(call)
                if len(worker.calls) == 1:
                    self._work(worker)

    def _work(self, worker: Worker) -> None:
        call = worker.calls[0]
        call.began = self.now
        seconds = self.works[worker.stage].seconds * len(call.batches)
        self.on_nodes[worker.node_id] += 1
        self.busy[worker.stage] += seconds  # type: ignore[assignment]
        self._after(seconds, lambda: self._done(worker, call, seconds))

    def _done(self, worker: Worker, call: Call, seconds: float) -> None:
        stage = self.stages[worker.stage]
        worker.calls.popleft()
        outputs = call.tasks * self.works[stage.index].outputs
        stage.learn(len(call.batches), seconds, call.tasks, outputs, outputs)
        if stage.index + 1 < len(self.stages):
            self._put(stage.index + 1, outputs)
        else:
            self.outputs += outputs
        if worker.calls:
            self._work(worker)
            return
        worker.idle_since = self.now
        if worker.retiring:
            self._end(worker)
