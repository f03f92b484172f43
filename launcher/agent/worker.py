"""The worker role: follow the head's heartbeat, run Ray, leave when the head says so or is gone."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections.abc import Iterator

from curator_slurm.launcher.agent import preflight
from curator_slurm.launcher.agent.cluster_scale import join_delay_s, joins_before_head, reading_pause_s
from curator_slurm.launcher.agent.context import AgentContext, log
from curator_slurm.launcher.agent.head_watch import HeadWatch
from curator_slurm.launcher.agent.heartbeat import STEP_S, HeartbeatReader
from curator_slurm.launcher.agent.last_element import remove_secrets_of
from curator_slurm.launcher.agent.leave import Leave
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.note_faults import note_faults
from curator_slurm.launcher.agent.telling import telling_of
from curator_slurm.launcher.errors import BootstrapError
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.restart.leave_request import try_to_leave
from curator_slurm.launcher.runs.attempt_records import NodeState, read_node_status, without_head
from curator_slurm.launcher.runs.phases import Phase
from curator_slurm.launcher.runs.restart_request import ENDS_JOB, GOES_ON
from curator_slurm.launcher.waiting import Patience

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
"""Between two looks for the head's address, on small clusters."""
_SOON_S = 15.0
"""A head that has not started by then is waited for with longer pauses."""
_LOOKS_AT_STATUS = 5
"""Before the head's first beat, its status is read at every so manieth look: its node may have failed before."""
_REASON_S = 60.0
"""How long a worker that gives up waits for storage to take the reason."""
_LONGEST_TURN_S = 30.0
_END_S = 20.0
"""How long a worker that gives up may take to clean its node up until the shell outside ends the job."""


def run_worker(context: AgentContext, node: Node) -> int:
    """Run the role; the exit code is 0 unless the head was lost: srun reports the highest code of all nodes."""
    pause = reading_pause_s(len(context.allocation.nodes))
    heartbeat = HeartbeatReader(context.cluster.heartbeat, max(STEP_S, 2 * pause))
    watch = HeadWatch(context, heartbeat)
    node.prepare()
    address = _wait_for_cluster(context, heartbeat, watch)
    if address is None:
        over = heartbeat.signal.ended or context.stop.requested
        return 0 if over or not _give_up(context, watch) else _code(context)
    preflight.check_versions(node.versions, heartbeat.signal.cluster["versions"])
    if not context.plan.spec.cluster.ray:
        context.reached(Phase.JOINED)
        context.report(NodeState.JOINED, "waiting")
        return _wait_for_end(context, heartbeat, watch)
    context.encrypted = bool(heartbeat.signal.cluster["encrypted"])
    node.start_ray(address, _raylet_of_head(heartbeat))
    return _follow(context, node, heartbeat, watch, address)


def _pauses(context: AgentContext) -> Iterator[float]:
    """Between two readings of the heartbeat: the same for ever, a little different on each node."""
    pause = reading_pause_s(len(context.allocation.nodes))
    while True:
        yield pause * random.uniform(0.8, 1.2)


def _wait_for_cluster(context: AgentContext, heartbeat: HeartbeatReader, watch: HeadWatch) -> str | None:
    """The head's Ray address, when it is this node's turn to join; None when there will be none."""
    nodes, rank = len(context.allocation.nodes), context.allocation.node_id
    began, spec = time.monotonic(), context.plan.spec.cluster
    pause = max(_FIRST_PAUSE_S, join_delay_s(rank, spec.joins_per_second))
    patience = Patience(spec.join_timeout_s + spec.heartbeat_timeout_s, max(STEP_S, 2 * reading_pause_s(nodes)))
    head = context.cluster.node(context.allocation.head_name)
    for look in itertools.count(1):
        if context.stop.wait(pause * random.uniform(0.8, 1.2)):
            return None
        signal = heartbeat.read()
        if signal.ended:
            return None
        if signal.cluster and (joins_before_head(rank) or signal.cluster.get("answers")):
            return str(signal.cluster["address"])
        waits = signal.beat == 0 and look % _LOOKS_AT_STATUS == 0
        if waits and read_node_status(head).get("state") == NodeState.FAILED:
            log.warning("the head node failed before it could start")
            return None
        if patience.is_over() or (signal.beat and watch.is_lost()):
            return None
        soon = time.monotonic() - began <= _SOON_S
        pause = reading_pause_s(nodes, _FIRST_PAUSE_S if soon else min(pause * 1.5, _LONGEST_PAUSE_S))
    return None


def _follow(context: AgentContext, node: Node, heartbeat: HeartbeatReader, watch: HeadWatch, address: str) -> int:
    assert node.ray is not None
    leave = Leave(context, heartbeat)
    for pause in _pauses(context):
        if leave.is_due(pause):
            return 0
        if not watch.joined and node.ray.has_started() and node.refuses_strangers():
            watch.joined = True
            node.note_phases()
            context.reached(Phase.JOINED)
            context.report(NodeState.JOINED, "joined the Ray cluster")
            log.info("joined the Ray cluster at %s", address)
        _report_memory_kills(context)
        if watch.is_lost() and _give_up(context, watch):
            return _code(context)
        current = str(heartbeat.signal.cluster["address"])
        if current != address:
            log.info("the head restarted at %s", current)
            address, watch.joined = current, False
            node.start_ray(address, _raylet_of_head(heartbeat))
        if node.ray.exit_code() is not None:
            if _outlived_by_head(context, heartbeat, watch):
                node.check_ray(address, _raylet_of_head(heartbeat))
                watch.joined = False
            elif heartbeat.signal.ended or context.stop.requested:
                return 0
            elif _give_up(context, watch):
                return _code(context)
    return 0


def _raylet_of_head(heartbeat: HeartbeatReader) -> str | None:
    address = heartbeat.signal.cluster.get("raylet")
    return str(address) if address else None


def _wait_for_end(context: AgentContext, heartbeat: HeartbeatReader, watch: HeadWatch) -> int:
    """Without Ray there is nothing to run here but what the command starts itself."""
    leave = Leave(context, heartbeat)
    for pause in _pauses(context):
        if leave.is_due(pause):
            return 0
        if watch.is_lost() and _give_up(context, watch):
            return _code(context)
        _report_memory_kills(context)
    return 0


def _report_memory_kills(context: AgentContext) -> None:
    if context.memory.kills() > context.status.memory_kills:
        log.warning("the kernel killed a process on this node for lack of memory")
        context.report(context.status.state)


def _outlived_by_head(context: AgentContext, heartbeat: HeartbeatReader, watch: HeadWatch) -> bool:
    """Our Ray is gone: whether the head still shows life (True), or has ended or is lost (False)."""
    first = heartbeat.read().beat
    for pause in _pauses(context):
        if context.stop.wait(pause):
            return False
        signal = heartbeat.read()
        if signal.ended or watch.is_lost(orphaned=True):
            return False
        if signal.beat > first + 1 or watch.answered:
            return True
    return False


def _give_up(context: AgentContext, watch: HeadWatch) -> bool:
    """Make sure that the allocation ends: without its batch host, Slurm would keep it until its time limit.

    The reason is left first, for a head that is there after all and for users, unless storage takes nothing at all.
    False where the head has shown life meanwhile: storage that took no writes may have kept both of us.
    """
    allocation = context.allocation
    reason = watch.reason
    if context.stop.wait(min(allocation.node_id - 1.0, _LONGEST_TURN_S)):
        return True
    lives = threading.Event()
    writer = threading.Thread(target=_leave_reason, args=(context, watch, reason, lives), daemon=True)
    writer.start()
    writer.join(_REASON_S)
    return not lives.is_set()


def _code(context: AgentContext) -> int:
    """What to exit with after giving up: the shell around this agent carries the request out, or ends the job.

    Without a request storage may take nothing, so that no step of the end is sure to end.
    """
    if context.goes_on:
        return GOES_ON
    if context.stop.requested:  # Slurm ends the job, or has it run again: then nobody else must end it
        return 1
    _exit_later(ENDS_JOB)
    return ENDS_JOB


def _exit_later(code: int) -> None:
    """End this process at the latest when the time for cleaning up is over."""
    late = threading.Timer(_END_S, os._exit, [code])
    late.daemon = True
    late.start()


def _leave_reason(context: AgentContext, watch: HeadWatch, reason: str, lives: threading.Event) -> None:
    """In a thread, since logs are on the same storage."""
    allocation = context.allocation
    if watch.shows_life_after_a_write():
        lives.set()
        return
    if not allocation.local:
        fault = (allocation.head_name, FailureClass.NODE_FAILED, f"the head node was lost: {reason}")
        note_faults(context.cluster, [fault])  # before the request, which does without such nodes
        failure, number = FailureClass.NODE_FAILED, context.submission
        context.goes_on = try_to_leave(context.cluster, context.plan, number, failure, cancels=True).goes_on
    telling = telling_of(context.cluster, context.plan, commands=False)
    remove_secrets_of(context.cluster, array=context.plan.array)
    if not context.cluster.outcome.exists():
        lost = without_head(
            f"the head node {allocation.head_name} was lost: {reason}",
            allocation.nodes,
            [f"{allocation.node_name} gave the run up: {reason} (cluster.heartbeat_timeout_s)"],
            "submit the run again; exclude the node (resources.sbatch.exclude) if it is lost again",
        )
        lost.write(context.cluster)
        telling.end(lost)
        telling.finish(hurries=True)
    log.error("the head node %s is lost: %s", allocation.head_name, reason)


def fail_worker(context: AgentContext, error: BootstrapError) -> int:
    """This node cannot take part: say so where the head reads it, and leave with 0, since the rest may go on."""
    log.error("%s", error)
    context.report(
        NodeState.FAILED, str(error), failure_class=failure_class_of(error.failure_class), next_step=error.next_step
    )
    return 0
