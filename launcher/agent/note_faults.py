"""Which nodes have failed under a job, noted for later attempts and runs of the user."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from curator_slurm.launcher.agent.context import log
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.runs.attempt_records import NodeState
from curator_slurm.launcher.runs.node_faults import OF_NODES, NodeFault, note_fault
from curator_slurm.launcher.runs.paths import ClusterPaths

Fault = tuple[str, FailureClass, str]
"""A node, why it failed, and in which words."""
MOST = 100
"""Of more nodes that fail at once in one job, it is not the nodes."""


def faults_of(
    nodes: Sequence[str],
    statuses: Mapping[str, Mapping[str, Any]],
    lost: Mapping[str, str],
    memory_kills: Collection[str] = (),
) -> Iterator[Fault]:
    """The nodes that failed: by what their agents or shells wrote, and those that were `lost`, with words. Pure.

    Not where the kernel killed processes for their memory, nor where all nodes failed for the same reason.
    """
    found: dict[str, Fault] = {name: (name, FailureClass.NODE_FAILED, words) for name, words in lost.items()}
    for name, status in statuses.items():
        failure = failure_class_of(status.get("failure_class"))
        if status.get("state") == NodeState.FAILED and failure in OF_NODES:
            found[name] = (name, failure, str(status.get("message") or ""))
    classes = {failure for _, failure, _ in found.values()}
    if len(nodes) > 1 and len(found) >= len(nodes) and len(classes) == 1:
        return
    yield from (fault for name, fault in found.items() if name in nodes and name not in memory_kills)


def note_faults(cluster: ClusterPaths, faults: Sequence[Fault]) -> None:
    """Remember them, as far as storage lets us."""
    for node, failure, message in faults if len(faults) <= MOST else ():
        log.warning("%s counts as failed: %s", node, message)
        fault = NodeFault(
            node=node,
            time=time.time(),
            run_id=cluster.run.run_id,
            element=cluster.name,
            failure_class=failure.value,
            message=message,
            cluster=os.environ.get("SLURM_CLUSTER_NAME", ""),
        )
        with contextlib.suppress(OSError):
            note_fault(cluster.run, fault)
