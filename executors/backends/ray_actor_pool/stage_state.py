"""One stage of a run on the actor pool: its queue, its workers, and how fast it is."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.ray_actor_pool.queue import Batch, TaskQueue, batch_len, singles
from curator_slurm.executors.ray_connection import alive_nodes
from curator_slurm.executors.ray_stage_spec import checked_ray_stage_spec
from curator_slurm.executors.requested_workers import fixed_workers
from curator_slurm.executors.run.blame import RerunDecision, deaths_after, decide_rerun
from curator_slurm.executors.run.placement import Need, need_of
from curator_slurm.executors.task_failures import FailurePolicy

CALLS_AHEAD = 2
"""Calls a worker has at once: one runs while the next one's data arrives."""
_CALL_S = 0.25
"""About how long a call of tiny batches should take."""
_LONG_S = 1.0
"""A first call that takes longer says something about the others."""
_MEMORY = 0.97
"""Weight of a call for the average when one more is done."""
_MAX_BATCHES = 512
_MAX_CALL_BYTES = 64 << 20
_MANY_PARTS = 64


@dataclass(eq=False)
class Call:
    """Batches on their way through a worker."""

    stage: int
    batches: list[Batch]
    worker: Worker
    refs: list[Any]
    nbytes: int
    deaths: int = 0
    began: float = field(default_factory=time.monotonic)

    @cached_property
    def tasks(self) -> int:
        return sum(batch_len(batch) for batch in self.batches)


@dataclass(eq=False)
class Worker:
    """One actor."""

    actor: Any
    stage: int
    node_id: str
    ready: bool = False
    retiring: bool = False
    prepares_node: bool = False
    """It runs `setup_on_node`."""
    up_since: float | None = None
    """When its process was up, and `setup_on_node` done, if it was the one to do it."""
    calls: deque[Call] = field(default_factory=deque)
    born: float = field(default_factory=time.monotonic)
    idle_since: float = field(default_factory=time.monotonic)
    closing_since: float = 0.0

    @property
    def idle(self) -> bool:
        return self.ready and not self.calls


@dataclass
class Suspect:
    """A batch whose worker died. It runs in a call of its own, so that the deadly task is found."""

    batch: Batch
    deaths: int
    decision: RerunDecision = RerunDecision.RERUN


def suspects_of(call: Call, policy: FailurePolicy, *, blamed: bool) -> list[Suspect]:
    """The batches of a call whose worker died; `blamed`: it was working on this call."""
    if not blamed:
        return [Suspect(batch, call.deaths) for batch in call.batches]
    suspects: list[Suspect] = []
    for batch in call.batches:
        deaths = deaths_after(batch_len(batch), call.deaths, alone=len(call.batches) == 1)
        decision = decide_rerun(batch_len(batch), deaths, policy)
        if decision is RerunDecision.DIVIDE:
            suspects += [Suspect(single, 0) for single in singles(batch)]
        else:
            suspects.append(Suspect(batch, deaths, decision))
    return suspects


def _alive(_need: Need) -> int:
    return len(alive_nodes())


class StageState:
    """The driver's view of one stage."""

    def __init__(self, index: int, adapter: StageAdapter, count_nodes: Callable[[Need], int] = _alive) -> None:
        stage = adapter.stage
        self.index = index
        self.adapter = adapter
        self.name = adapter.name
        self.batch_size = adapter.batch_size
        self.need = need_of(stage)
        spec = checked_ray_stage_spec(stage)
        self.fixed = fixed_workers(stage, lambda: count_nodes(self.need))
        self.min_workers = self.fixed or max(1, int(spec.get("min_workers") or 1))
        self.max_workers = self.fixed or int(spec.get("max_workers") or 1_000_000)
        self.initial_workers = self.fixed or max(self.min_workers, int(spec.get("initial_workers") or 1))
        for key in ("min_workers", "initial_workers"):
            asked = getattr(self, key)
            if asked > self.max_workers:
                raise ValueError(
                    f"stage {self.name!r}: {key} {asked} of ray_stage_spec is above its max_workers {self.max_workers}"
                )
        self.queue = TaskQueue()
        self.suspects: deque[Suspect] = deque()
        self.workers: list[Worker] = []
        self.leaving: list[Worker] = []
        """Workers in `teardown`: they get no more work, but their resources are not free yet."""
        self.prepared_nodes: set[str] = set()
        self.upstream_done = False
        self.finished = False
        self.start_up_deaths = 0
        self.coming = 0
        """Initial tasks that the driver has not put into the queue yet."""
        self.first_input = math.inf
        """When the stage had input for the first time."""
        self.startup_s = 1.0
        """Of a worker, until it is ready; measured as soon as one is."""
        self.setup_s = 0.0
        """What of this was its `setup`."""
        self.started = 0
        """Workers that have become ready."""
        self.batch_s: float | None = None
        self._seconds = 0.0
        self._batches = 0.0
        self.tasks_in = 0
        self.tasks_out = 0
        self.out_bytes = 0
        self.in_flight_bytes = 0
        self.call_bytes = float(_MAX_CALL_BYTES)
        """About how much one call may put out."""
        self.starved_since: float | None = None

    # -- work

    @property
    def active(self) -> list[Worker]:
        """Its workers without those that are about to end."""
        return [worker for worker in self.workers if not worker.retiring]

    @property
    def calls(self) -> int:
        return sum(len(worker.calls) for worker in self.workers)

    @property
    def can_form_batch(self) -> bool:
        """Whether a batch is complete, or will not get any fuller."""
        waiting = len(self.queue)
        return bool(self.suspects) or waiting >= self.batch_size or (waiting > 0 and self.upstream_done)

    @property
    def has_work(self) -> bool:
        return self.can_form_batch or self.calls > 0

    @property
    def exhausted(self) -> bool:
        return self.upstream_done and not len(self.queue) and not self.suspects and self.calls == 0

    def next_batches(self) -> tuple[list[Batch], int]:
        """Batches for one call, and how many workers have died of them so far."""
        if self.suspects:
            suspect = self.suspects.popleft()
            return [suspect.batch], suspect.deaths
        available = self.queue.tasks / self.batch_size
        wanted = 1
        if self.batch_s is not None:
            wanted = int(_CALL_S / max(self.batch_s, 1e-6))
            share = math.ceil(available / max(1, len(self.workers)) / CALLS_AHEAD)
            wanted = max(1, min(wanted, share, _MAX_BATCHES, self._batches_within(self.call_bytes)))
        batches: list[Batch] = []
        nbytes = 0
        while self.can_form_batch and len(batches) < wanted and nbytes < _MAX_CALL_BYTES and len(self.queue):
            batch = self.queue.take(self.batch_size)
            nbytes += sum(piece.nbytes for piece in batch)
            batches.append(batch)
        return batches, 0

    def forget_waiting(self) -> bool:
        """Drop what no worker has been given; whether there was anything."""
        waiting = bool(self.suspects) or len(self.queue) > 0
        self.suspects.clear()
        self.queue = TaskQueue()
        return waiting

    def _batches_within(self, nbytes: float) -> int:
        """How many batches about put out so much."""
        per_batch = self.batch_size * self.out_bytes / self.tasks_in if self.tasks_in else 0.0
        return int(nbytes / per_batch) if per_batch else _MAX_BATCHES

    def parts_for(self, tasks: int, downstream: StageState | None) -> int:
        """Into how many parts a call's output is cut: about one for each call of the next stage."""
        if downstream is None:
            return 1
        if self.tasks_in == 0:
            return _MANY_PARTS if tasks == 1 else max(1, min(_MANY_PARTS, tasks // downstream.batch_size))
        outputs = tasks * self.tasks_out / self.tasks_in
        per_call = downstream.batch_size
        if downstream.batch_s is not None:
            per_call *= max(1, min(_MAX_BATCHES, int(_CALL_S / max(downstream.batch_s, 1e-6))))
        nbytes = tasks * self.out_bytes / self.tasks_in
        return max(1, min(_MANY_PARTS, math.ceil(outputs / per_call), tasks * 64), math.ceil(nbytes / (32 << 20)))

    # -- speed

    def learn(self, batches: int, seconds: float, tasks_in: int, tasks_out: int, out_bytes: int) -> None:
        """Take a finished call into account."""
        per_batch = seconds / max(1, batches)
        self.batch_s = per_batch if self.batch_s is None else 0.7 * self.batch_s + 0.3 * per_batch
        self._seconds = _MEMORY * self._seconds + seconds
        self._batches = _MEMORY * self._batches + batches
        self.tasks_in += tasks_in
        self.tasks_out += tasks_out
        self.out_bytes += out_bytes

    def learn_start(self, worker: Worker, setup_s: float) -> None:
        """Take a worker into account that has become ready."""
        seconds = worker.idle_since - worker.born
        share = 0.5 if self.started else 1.0
        self.startup_s += share * (seconds - self.startup_s)
        self.setup_s += share * (setup_s - self.setup_s)
        self.started += 1

    def usual_batch_s(self, now: float) -> float | None:
        """The average of the last calls; before the first one is done, what it has taken so far, if that is much."""
        if self._batches:
            return self._seconds / self._batches
        if self.batch_s is not None:
            return self.batch_s
        running = [
            (now - worker.calls[0].began) / len(worker.calls[0].batches)
            for worker in self.workers
            if worker.calls and worker.ready
        ]
        longest = max(running, default=0.0)
        return longest if longest > _LONG_S else None

    def tasks_here(self) -> int:
        """Tasks that wait for the stage or are in its workers."""
        running = sum(call.tasks for worker in self.workers for call in worker.calls)
        return self.coming + len(self.queue) + running + sum(batch_len(suspect.batch) for suspect in self.suspects)

    def output_bytes_ahead(self) -> float:
        """Bytes that the calls in flight will about put out."""
        if not self.tasks_in:
            return 0.0
        return sum(call.tasks for worker in self.workers for call in worker.calls) * self.out_bytes / self.tasks_in
