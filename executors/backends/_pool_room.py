"""Whether there is room for the workers of every stage: at the start of a run, and when nodes have gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from curator_slurm.executors.backends._pool_nodes import Nodes
from curator_slurm.executors.backends._pool_stage import StageState
from curator_slurm.executors.failures import ExecutorError, WorkerLostError

log = logging.getLogger(__name__)

_NODE_PATIENCE_S = 60.0
"""How long a stage waits for a node to join that could hold its workers, where there is none any more."""


def check_nodes(stages: Sequence[StageState], nodes: Nodes) -> None:
    """Give up where a stage has waited long for a node that could hold a worker: the last one is gone."""
    for stage in stages:
        waited = time.monotonic() - stage.starved_since if stage.starved_since is not None else 0.0
        if waited > _NODE_PATIENCE_S and not nodes.could_ever_fit(stage.need):
            raise WorkerLostError(
                f"stage {stage.name!r} has lost the last node that a worker of it could run on "
                f"({stage.need.cpus:g} CPUs, {stage.need.gpus:g} GPUs; nodes: {nodes})"
            )


def fit_stages(stages: Sequence[StageState], nodes: Nodes) -> None:
    """Make what stages ask for fit the nodes, or say why that cannot be."""
    for stage in stages:
        fitting = nodes.shrunk(stage.need)
        if fitting != stage.need:
            log.warning(
                "stage %r asks for %g CPUs; no node has more than %g", stage.name, stage.need.cpus, fitting.cpus
            )
            stage.need = fitting
        if not nodes.could_ever_fit(stage.need):
            raise ExecutorError(
                f"stage {stage.name!r} needs {stage.need.cpus:g} CPUs and {stage.need.gpus:g} GPUs per worker, and "
                f"no node has that (nodes: {nodes})"
            )
        room = nodes.capacity(stage.need)
        if stage.fixed is not None and stage.fixed > room:
            log.warning("stage %r asks for %d workers; there is room for %d", stage.name, stage.fixed, room)
            stage.fixed = stage.min_workers = stage.max_workers = stage.initial_workers = max(1, room)
