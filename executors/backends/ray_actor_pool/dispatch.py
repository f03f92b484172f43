"""Which worker of a stage gets the next call, and what of the queue it gets. No I/O."""

from __future__ import annotations

from curator_slurm.executors.backends.ray_actor_pool.stage_state import CALLS_AHEAD, StageState, Worker

_SLOW_BATCH_S = 0.5
_LARGE = 1 << 20


def free_worker(stage: StageState) -> Worker | None:
    """The ready worker with the fewest calls, on the node of the next payload if that is large; None: all are busy."""
    ready = [worker for worker in stage.workers if worker.ready and not worker.retiring]
    if not ready:
        return None
    front = stage.queue.front
    home = front.part.node_id if front is not None and front.nbytes > _LARGE and not stage.suspects else ""
    worker = min(ready, key=lambda worker: (len(worker.calls), bool(home) and worker.node_id != home))
    if not worker.calls:
        return worker
    if len(worker.calls) >= CALLS_AHEAD or stage.suspects:
        return None
    slow = stage.batch_s is None or stage.batch_s > _SLOW_BATCH_S
    return None if slow and len(stage.queue) < stage.batch_size * len(stage.workers) else worker


def bring_local_forward(stage: StageState, worker: Worker) -> None:
    """Let a large payload that lies on the worker's node be the next, if the one that is lies elsewhere."""
    front = stage.queue.front
    if front is not None and front.nbytes > _LARGE and front.part.node_id not in ("", worker.node_id):
        stage.queue.bring_forward(worker.node_id)
