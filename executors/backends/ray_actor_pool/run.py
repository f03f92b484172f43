"""One run on the actor pool: the loop that hands out calls, takes results and replaces dead workers.

The driver holds references and numbers. A call's inputs and outputs go from worker to worker through the object
store; of its results only a CallResult, some hundred bytes, comes here.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError

from curator_slurm.common.in_words import several
from curator_slurm.executors.adapter.task_size import size_of
from curator_slurm.executors.backends.ray_actor_pool.dispatch import bring_local_forward, free_worker
from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.queue import (
    Batch,
    CallResult,
    TaskBlock,
    batch_len,
    describe,
    groups_of,
)
from curator_slurm.executors.backends.ray_actor_pool.scale import Scaler
from curator_slurm.executors.backends.ray_actor_pool.stage_state import (
    Call,
    StageState,
    Worker,
    suspects_of,
)
from curator_slurm.executors.backends.ray_actor_pool.worker_process import identity
from curator_slurm.executors.backends.ray_actor_pool.workers import Pending, Workers, run_error
from curator_slurm.executors.run.blame import RerunDecision, give_up
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.payload import KEEP_BELOW, is_plain, split_evenly
from curator_slurm.executors.run.placement import USUAL, NodePatience, NodeWait
from curator_slurm.executors.run.ray_errors import WORKER_DIED, fetch
from curator_slurm.executors.run.sources import Sources

log = logging.getLogger(__name__)

_TICK_S = 0.5
_QUICK_TICK_S = 0.1
_COPY_ABOVE = 100_000


class PoolRun:
    """One run; used once."""

    def __init__(
        self,
        stages: Sequence[StageState],
        monitor: RunMonitor,
        sources: Sources,
        prepared: dict[int, set[str]],
        nodes: Nodes,
        store_bytes: float,
        actor_options: Callable[[StageState, str], dict[str, Any]],
        on_tick: Callable[[], None] = lambda: None,
        patience: NodePatience = USUAL,
    ) -> None:
        self.stages = stages
        self._offset = sources.first_stage
        self._sources = sources
        for stage in self.stages:
            stage.prepared_nodes = prepared.setdefault(self._offset + stage.index, set())
        self._monitor = monitor
        self._nodes = nodes
        self._budget = max(32 << 20, 0.5 * store_bytes / len(self.stages))
        for stage in self.stages:
            stage.call_bytes = min(stage.call_bytes, self._budget / 4)
        self._on_tick = on_tick
        self._pending: Pending = {}
        died = partial(self._on_worker_dead, starting=True)
        self._workers = Workers(self.stages, nodes, self._pending, actor_options, died)
        self._teardowns = self._workers.teardowns
        self._node_wait = NodeWait(patience)
        self._scaler = Scaler(self.stages, nodes, self._workers.start, self._workers.retire, self._blocked)

    def run(self) -> None:
        """Run all sources that are not settled through the stages; the sources collect the outputs.

        Raises:
            ObjectsLostError: what waited for a stage was lost with its node.
            DrainedError: the time for draining was over.
        """
        first = self.stages[0]
        tasks, groups = self._sources.unfinished, self._sources.unfinished_groups
        done = self._monitor.progress.stages[self._offset].tasks_in
        self._monitor.progress.gauge(self._offset, expected=done + len(tasks))
        parts = max(1, min(64, len(tasks) // max(1, first.batch_size)))
        try:
            first.coming = len(tasks)
            self._scaler.step()  # workers start while the tasks go to the object store
            for chunk, kinds in zip(split_evenly(tasks, parts), split_evenly(groups, parts), strict=True):
                first.coming -= len(chunk)
                first.queue.put(TaskBlock(ray.put(chunk), len(chunk), size_of(chunk), kinds).all())
            first.upstream_done = True
            while not self.stages[-1].finished or self._teardowns:
                self._drain()
                self._finish_stages()
                self._dispatch()
                self._scaler.step()
                self._dispatch()
                self._gauge()
                self._check_nodes()
                self._wait()
                self._teardowns.end_slow()
            self._gauge()
        finally:
            self._abandon()

    def _abandon(self) -> None:
        """Kill what still runs; nothing does after a successful run."""
        left = [worker for stage in self.stages for worker in stage.workers]
        refs = [ref for worker in left for call in worker.calls for ref in call.refs]
        for worker in [*left, *self._teardowns.workers]:
            ray.kill(worker.actor)
        refs = list(dict.fromkeys([*refs, *self._pending]))
        ready = ray.wait(refs, num_returns=len(refs), timeout=1)[0] if refs else []
        for ref in ready:  # Ray logs every error that was never fetched
            with contextlib.suppress(Exception):
                ray.get(ref, timeout=0)

    # -- the loop

    def _wait(self) -> None:
        """Sleep until a result is there, then handle all that are."""
        refs = list(self._pending)
        if not refs:
            if not self.stages[-1].finished:
                time.sleep(0.05)  # no node has the resources for a worker at the moment
            return
        starting = any(not worker.ready for stage in self.stages for worker in stage.workers)
        ready, _ = ray.wait(refs, num_returns=1, timeout=_QUICK_TICK_S if starting else _TICK_S)
        if ready and len(refs) > 1:
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in ready:
            handler = self._pending.pop(ref, None)
            if handler is not None:  # a death may have taken others with it
                handler(ref)
        self._on_tick()

    def _drain(self) -> None:
        """Where the run is to drain, drop what has not begun, and end in time."""
        gate = self._monitor.drain
        gate.check_time()
        for stage in self.stages:
            if gate.is_closed(self._offset + stage.index) and stage.forget_waiting():
                gate.drop()

    def _check_nodes(self) -> None:
        without = [stage for stage in self.stages if not stage.finished and not stage.workers]
        needs = {stage.index: (stage.name, stage.need) for stage in without}
        self._node_wait.check(needs, self._nodes.empty() if needs else [], time.monotonic())

    def _finish_stages(self) -> None:
        for stage, following in zip(self.stages, [*self.stages[1:], None], strict=True):
            if stage.exhausted and not stage.finished:
                stage.finished = True
                if following is not None:
                    following.upstream_done = True
                for worker in list(stage.workers):
                    self._workers.retire(worker)

    def _dispatch(self) -> None:
        for stage in reversed(self.stages):
            while stage.can_form_batch and not self._blocked(stage):
                worker = free_worker(stage)
                if worker is None:
                    break
                self._call(stage, worker)

    def _blocked(self, stage: StageState) -> bool:
        """Whether the next stage has more waiting than its share of the object store."""
        if stage.index + 1 == len(self.stages):
            return False
        following = self.stages[stage.index + 1]
        ahead = following.queue.nbytes + following.in_flight_bytes + stage.output_bytes_ahead()
        if ahead < self._budget:
            return False
        return following.has_work or stage.calls > 0

    def _call(self, stage: StageState, worker: Worker) -> None:
        bring_local_forward(stage, worker)
        batches, deaths = stage.next_batches()
        tasks = sum(batch_len(batch) for batch in batches)
        following = self.stages[stage.index + 1] if stage.index + 1 < len(self.stages) else None
        parts = stage.parts_for(tasks, following)
        spec, arguments = describe(batches, parts)
        refs = worker.actor.run.options(num_returns=parts + 1).remote(spec, *arguments)
        nbytes = sum(piece.nbytes for batch in batches for piece in batch)
        call = Call(stage.index, batches, worker, refs, nbytes, deaths)
        stage.in_flight_bytes += nbytes
        worker.calls.append(call)
        self._pending[refs[0]] = partial(self._on_result, call)

    # -- results

    def _on_result(self, call: Call, ref: Any) -> None:
        stage = self.stages[call.stage]
        try:
            result: CallResult = ray.get(ref)
        except WORKER_DIED as error:
            self._on_worker_dead(call.worker, error)
            return
        except RayError as error:
            raise run_error(error, stage.name) from None
        self._drop_call(call)
        if call.worker.calls:
            call.worker.calls[0].began = time.monotonic()
        else:
            call.worker.idle_since = time.monotonic()
        stage.learn(
            len(call.batches), result.report.seconds, result.report.tasks_in, sum(result.counts), sum(result.nbytes)
        )
        last = stage.index + 1 == len(self.stages)
        lists = [self._fetch(ref, nbytes) for ref, nbytes in _kept(call, result)] if last else []
        self._monitor.record(self._offset + stage.index, result.report)
        groups = self._sources.record(self._offset + stage.index, groups_of(call.batches), result.report)
        if self._offset + stage.index == 0 and not last and self._sources.single and sum(result.nbytes) < KEEP_BELOW:
            firsts = [task for ref, nbytes in _kept(call, result) for task in self._fetch(ref, nbytes)]
            groups = self._sources.replace_single(firsts, groups)
        start = 0
        for position, (ref, nbytes) in enumerate(_kept(call, result)):
            kinds = groups[start : start + result.counts[position]]
            start += len(kinds)
            if last:
                self._sources.finish(lists[position], kinds)
            else:
                block = TaskBlock(ref, len(kinds), nbytes, kinds, call.worker.node_id)
                self.stages[stage.index + 1].queue.put(block.all())
        if call.worker.retiring and not call.worker.calls:
            self._teardowns.begin(call.worker)

    def _fetch(self, ref: Any, nbytes: int) -> list[Any]:
        """A list of tasks, copied where it is large: else it would hold on to the object store beyond the run."""
        tasks: list[Any] = fetch(ref)
        keep = nbytes <= _COPY_ABOVE or all(map(is_plain, tasks))
        return tasks if keep else list(pickle.loads(cloudpickle.dumps(tasks)))

    def _drop_call(self, call: Call) -> None:
        call.worker.calls.remove(call)
        self.stages[call.stage].in_flight_bytes -= call.nbytes

    # -- workers

    def _on_worker_dead(self, worker: Worker, error: BaseException, *, starting: bool = False) -> None:
        """Give its tasks to others. The call it was working on is to blame, unless the node is gone."""
        stage = self.stages[worker.stage]
        if worker not in stage.workers:
            return
        stage.workers.remove(worker)
        self._nodes.refresh(force=True)
        node_lost = not self._nodes.is_alive(worker.node_id)
        self._nodes.give_back(worker.node_id, stage.need)
        if node_lost:
            stage.prepared_nodes.discard(worker.node_id)
        had = several(sum(call.tasks for call in worker.calls), "task")
        log.warning(
            "a worker of stage %r died on node %s%s; %s", stage.name, worker.node_id[:12],
            ", which is gone" if node_lost else "",
            "another one is started" if starting else f"{had} it had will run again",
        )  # fmt: skip
        ray.kill(worker.actor)
        for position, call in enumerate(list(worker.calls)):
            self._pending.pop(call.refs[0], None)
            self._drop_call(call)
            self._again(stage, call, error, blamed=position == 0 and not node_lost)

    def _again(self, stage: StageState, call: Call, error: BaseException, *, blamed: bool) -> None:
        """Queue a call's batches again, except a task that has killed too many workers."""
        for suspect in suspects_of(call, self._monitor.policy, blamed=blamed):
            if suspect.decision is RerunDecision.GIVE_UP:
                self._give_up(stage, suspect.batch, suspect.deaths, error)
            else:
                stage.suspects.append(suspect)

    def _give_up(self, stage: StageState, batch: Batch, deaths: int, error: BaseException) -> None:
        (piece,) = batch
        remote = ray.remote(num_cpus=0)(identity)
        try:
            task = ray.get(remote.remote(piece.part.ref, piece.start))
        except RayError as lost:
            raise run_error(lost, stage.name) from None
        report = give_up(stage.name, self._monitor.policy, task, deaths, str(error))
        self._monitor.record(self._offset + stage.index, report)
        self._sources.record(self._offset + stage.index, groups_of([batch]), report)

    # -- what is shown and checked

    def _gauge(self) -> None:
        for stage in self.stages:
            self._monitor.progress.gauge(self._offset + stage.index, workers=len(stage.workers))


def _kept(call: Call, result: CallResult) -> list[tuple[Any, int]]:
    """(reference, bytes) of every list of tasks that a call gave."""
    return list(zip(call.refs[1:], result.nbytes, strict=False))
