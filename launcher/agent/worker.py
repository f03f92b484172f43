"""The worker role: follow the head's heartbeat, run Ray, leave when the head says so or is gone."""

from __future__ import annotations

import random
import time

from curator_slurm.launcher.agent import preflight
from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.heartbeat import HeartbeatReader
from curator_slurm.launcher.agent.job_control import cancel_job
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.runs.attempt_records import NodeState, read_node_status, without_head

HEAD_SILENCE_S = 60.0
"""The head beats every two seconds; after this long without a beat it is taken for lost."""

_ORPHANED_SILENCE_S = 15.0
"""The same, once this node's Ray has lost the cluster as well."""

_POLL_MIN_S, _POLL_MAX_S = 0.1, 2.0
_STARTED = "Ray runtime started"


def run_worker(context: AgentContext, node: Node) -> int:
    """Run the role; the exit code is 0 unless the head was lost: srun reports the highest code of all nodes."""
    heartbeat = HeartbeatReader(context.cluster.heartbeat)
    node.prepare()
    address = _wait_for_cluster(context, heartbeat)
    if address is None:
        return 0 if heartbeat.signal.ended or context.stop.requested else _head_lost(context)
    preflight.check_versions(preflight.versions(), heartbeat.signal.cluster["versions"])
    if not context.plan.spec.cluster.ray:
        context.report(NodeState.JOINED, "waiting")
        return _wait_for_end(context, heartbeat)
    node.start_ray(address)
    return _follow(context, node, heartbeat, address)


def _wait_for_cluster(context: AgentContext, heartbeat: HeartbeatReader) -> str | None:
    """The head's Ray address; None when there will be none."""
    pause = _POLL_MIN_S
    deadline = time.monotonic() + context.plan.spec.cluster.join_timeout_s + HEAD_SILENCE_S
    head = context.cluster.node(context.allocation.head_name)
    while not context.stop.wait(pause * random.uniform(0.8, 1.2)):
        signal = heartbeat.read()
        if signal.ended:
            return None
        if signal.cluster:
            return str(signal.cluster["address"])
        if signal.beat == 0 and read_node_status(head).get("state") == NodeState.FAILED:
            log.warning("the head node failed before it could start")
            return None
        if time.monotonic() > deadline or (signal.beat and heartbeat.silent_s > HEAD_SILENCE_S):
            log.warning("no heartbeat from the head")
            return None
        pause = min(pause * 1.5, _POLL_MAX_S)
    return None


def _follow(context: AgentContext, node: Node, heartbeat: HeartbeatReader, address: str) -> int:
    assert node.ray is not None
    joined = False
    while not context.stop.wait(0.5):
        if heartbeat.read().ended:
            return 0
        if not joined and any(_STARTED in line for line in node.ray.last_lines(40)):
            joined = True
            context.report(NodeState.JOINED, "joined the Ray cluster")
            log.info("joined the Ray cluster at %s", address)
        if context.memory.kills() > context.status.memory_kills:
            log.warning("the kernel killed a process on this node for lack of memory")
            context.report(context.status.state)
        if heartbeat.silent_s > HEAD_SILENCE_S:
            return _head_lost(context)
        current = str(heartbeat.signal.cluster["address"])
        if current != address:
            log.info("the head restarted at %s", current)
            address, joined = current, False
            node.start_ray(address)
        if node.ray.exit_code() is not None:
            if _outlived_by_head(context, heartbeat):
                node.check_ray(address)
                joined = False
            else:
                return 0 if heartbeat.signal.ended or context.stop.requested else _head_lost(context)
    return 0


def _wait_for_end(context: AgentContext, heartbeat: HeartbeatReader) -> int:
    """Without Ray there is nothing to run here but what the command starts itself."""
    while not context.stop.wait(0.5):
        if heartbeat.read().ended:
            return 0
        if heartbeat.silent_s > HEAD_SILENCE_S:
            return _head_lost(context)
        if context.memory.kills() > context.status.memory_kills:
            context.report(context.status.state)
    return 0


def _outlived_by_head(context: AgentContext, heartbeat: HeartbeatReader) -> bool:
    """Our Ray is gone: whether the head still beats (True), or has ended or fallen silent (False)."""
    first = heartbeat.read().beat
    while not context.stop.wait(0.5):
        signal = heartbeat.read()
        if signal.ended or heartbeat.silent_s > _ORPHANED_SILENCE_S:
            return False
        if signal.beat > first + 1:
            return True
    return False


def _head_lost(context: AgentContext) -> int:
    """Make sure that the allocation ends: without its batch host, Slurm would keep it until its time limit."""
    allocation = context.allocation
    log.error("the head node %s is lost", allocation.head_name)
    if context.stop.wait(allocation.node_id - 1):
        return 1
    if not context.cluster.outcome.exists():
        without_head(
            f"the head node {allocation.head_name} was lost",
            allocation.nodes,
            [f"{allocation.node_name} lost contact with it"],
            "submit the run again; exclude the node (resources.sbatch.exclude) if it is lost again",
        ).write(context.cluster)
    if not allocation.local:
        cancel_job(allocation.job_id)
    return 1


def fail_worker(context: AgentContext, error: BootstrapError) -> int:
    """This node cannot take part: say so where the head reads it, and leave with 0, since the rest may go on."""
    log.error("%s", error)
    context.report(
        NodeState.FAILED, str(error), failure_class=FailureClass(error.failure_class), next_step=error.next_step
    )
    return 0
