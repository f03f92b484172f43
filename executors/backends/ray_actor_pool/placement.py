"""Whether the nodes can hold the workers of every stage, at the start of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from curator_slurm.executors.backends.ray_actor_pool.nodes import Nodes
from curator_slurm.executors.backends.ray_actor_pool.stage_state import StageState
from curator_slurm.executors.run.placement import check_fits, shrunk

log = logging.getLogger(__name__)


def fit_stages(stages: Sequence[StageState], nodes: Nodes) -> None:
    """Make the requests of the stages fit the nodes.

    Raises:
        DoesNotFitError: that is not possible.
    """
    empty = nodes.empty()
    for stage in stages:
        check_fits(stage.name, shrunk(stage.need, empty), empty)
    for stage in stages:
        fitting = shrunk(stage.need, empty)
        if fitting != stage.need:
            log.warning(
                "stage %r requests %g CPUs; no node has more than %g", stage.name, stage.need.cpus, fitting.cpus
            )
            stage.need = fitting
        room = max(1, nodes.capacity(stage.need))
        if stage.fixed is not None and stage.fixed > room:
            log.warning("stage %r requests %d workers; the nodes can hold %d", stage.name, stage.fixed, room)
            stage.fixed = stage.min_workers = stage.max_workers = stage.initial_workers = room
    _share(stages, nodes.all_free())


def _share(stages: Sequence[StageState], nodes: Nodes) -> None:
    """Limit the workers that stages begin with and keep, so that one worker of every other stage fits.

    A fixed number remains the target: what is missing of it is started when other stages are done.
    """
    held = {stage.index: 1 for stage in stages}
    for stage in sorted(stages, key=lambda stage: (stage.need.gpus, stage.need.cpus), reverse=True):
        nodes.place(stage.need)
    open_stages = list(stages)
    while open_stages:
        for stage in list(open_stages):
            enough = held[stage.index] >= max(stage.min_workers, stage.initial_workers)
            limited = not stage.need.cpus and not stage.need.gpus and held[stage.index] >= nodes.capacity(stage.need)
            if enough or limited or nodes.place(stage.need) is None:
                open_stages.remove(stage)
            else:
                held[stage.index] += 1
    for stage in stages:
        asked, got = max(stage.min_workers, stage.initial_workers), held[stage.index]
        if asked > got:
            log.warning(
                "stage %r requests %d workers; beside the other stages the nodes can hold %d", stage.name, asked, got
            )
            stage.initial_workers = min(stage.initial_workers, got)
            stage.min_workers = min(stage.min_workers, got)
