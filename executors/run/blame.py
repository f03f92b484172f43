"""What becomes of the batches that a worker held when it died."""

from __future__ import annotations

from curator_slurm.executors.backends.ray_actor_pool.data import Batch, TaskQueue, batch_len
from curator_slurm.executors.backends.ray_actor_pool.stage import Call, Suspect


def after_death(call: Call, *, blamed: bool) -> list[Suspect]:
    """The batches of a call as they are to run again.

    `blamed`: the worker was at this call when it died. A batch of several tasks then runs once more as a whole, for the
    worker may have died of something else, and its outputs may depend on what is in it. Only if that kills another
    worker is it divided, and the deaths of each of its tasks are counted from then on.
    """
    if not blamed:
        return [Suspect(batch, call.deaths) for batch in call.batches]
    alone = len(call.batches) == 1
    suspects: list[Suspect] = []
    for batch in call.batches:
        if batch_len(batch) == 1:
            suspects.append(Suspect(batch, call.deaths + alone))
        elif call.deaths:
            suspects += [Suspect(single, 0) for single in singles(batch)]
        else:
            suspects.append(Suspect(batch, 1))
    return suspects


def singles(batch: Batch) -> list[Batch]:
    """A batch as batches of one task."""
    queue = TaskQueue()
    for piece in batch:
        queue.put(piece)
    return [queue.take(1) for _ in range(queue.tasks)]
