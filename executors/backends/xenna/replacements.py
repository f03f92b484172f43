"""Our parts for the engine in a run: pools, and queues that hold several tasks in one object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from curator_slurm.executors.backends.xenna.engine import names
from curator_slurm.executors.backends.xenna.engine.patches import Replacements
from curator_slurm.executors.backends.xenna.options import XennaOptions
from curator_slurm.executors.backends.xenna.planning import RunPlans

if TYPE_CHECKING:
    from curator_slurm.executors.backends.xenna.run import XennaRun


def replacements(
    run: XennaRun, features: frozenset[str], batch_sizes: Sequence[int], options: XennaOptions
) -> Replacements:
    """What the engine uses instead of its own, for a version that supports `names.WORKERS`."""
    # Only here, because they derive from classes of the engine that another version may not have.
    from curator_slurm.executors.backends.xenna.pool import RunPool
    from curator_slurm.executors.backends.xenna.queue import BatchGrouping, ChunkQueue

    batch_mode = options.batch
    plans = RunPlans(run, options.autoscale_interval_s) if options.plans and names.PLANS in features else None
    in_chunks = (names.BATCHED_CHUNKS if batch_mode else names.STREAMED_CHUNKS) in features
    grouping = BatchGrouping()
    stages = iter(enumerate(batch_sizes, run.offset))

    def make_pool(*args: Any, **kwargs: Any) -> RunPool:
        sizes = grouping.sizes if batch_mode and in_chunks else None
        return RunPool(*args, run=run, features=features, sizes=sizes, **kwargs)

    def make_queue() -> ChunkQueue:
        """The engine makes its queues in the order of the stages that they feed, and one for the results."""
        stage, size = next(stages, (0, 0))
        return ChunkQueue(size, partial(run.more_batches, stage, size)) if size else ChunkQueue()

    if not in_chunks:
        return Replacements(make_pool, plans=plans)
    if batch_mode:
        return Replacements(make_pool, grouping=grouping)
    return Replacements(make_pool, make_queue, plans=plans)
