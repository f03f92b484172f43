"""The process that runs once on every node of a job: `python -m curator_slurm.launcher.agent.node_agent`.

With --clean-up it does what an agent that was killed could not do any more: end its processes, remove its session.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from curator_slurm.common.atomic_files import write_atomic
from curator_slurm.common.json_fields import whole
from curator_slurm.common.streams import drop_unwritable
from curator_slurm.launcher.agent import preflight, processes
from curator_slurm.launcher.agent.allocation import Allocation, local_allocation, slurm_allocation, visible_gpus
from curator_slurm.launcher.agent.context import AgentContext, StopRequest, job_environment, log, start_logging
from curator_slurm.launcher.agent.head import Head
from curator_slurm.launcher.agent.heartbeat import Heartbeat
from curator_slurm.launcher.agent.last_element import remove_secrets_of
from curator_slurm.launcher.agent.leaving import take_steps
from curator_slurm.launcher.agent.node import Node
from curator_slurm.launcher.agent.process_limits import raise_limits
from curator_slurm.launcher.agent.session import SESSION_PREFIX, remove_session
from curator_slurm.launcher.agent.telling import Telling, telling_of
from curator_slurm.launcher.agent.textfile import Textfile, remove_textfiles
from curator_slurm.launcher.agent.worker import fail_worker, run_worker
from curator_slurm.launcher.errors import BootstrapError, ForeignRunError
from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.measuring.gpu_figures import find_gpus
from curator_slurm.launcher.measuring.node_figures import FiguresReader
from curator_slurm.launcher.measuring.node_thread import NodeMeasuring
from curator_slurm.launcher.plan.model import Cluster, Plan
from curator_slurm.launcher.restart.element_history import previous_element, shards_left
from curator_slurm.launcher.restart.leave_request import try_to_leave
from curator_slurm.launcher.runs.attempt_records import (
    NodeState,
    NodeStatus,
    read_ending,
    read_node_status,
    without_head,
)
from curator_slurm.launcher.runs.owners import read_own
from curator_slurm.launcher.runs.paths import ClusterPaths, RunPaths, SubmissionPaths
from curator_slurm.launcher.runs.phases import TIMES, Phase, times_of
from curator_slurm.launcher.runs.user_code import newest_code
from curator_slurm.launcher.sharding.assignment import plan_file, shards_of_job
from curator_slurm.launcher.tails import last_lines


def main(arguments: list[str] | None = None) -> int:
    """Run this node's role; the exit code is the job's on the head, and 0 on workers of a run that ended."""
    parser = argparse.ArgumentParser(prog="curator-slurm node agent")
    parser.add_argument("--run-dir", type=Path, required=True)
    parser.add_argument("--element-dir", type=Path, required=True, help="the folder of this job, or of this element")
    parser.add_argument("--run-id", help="what the job was submitted for; not known of a script submitted by hand")
    parser.add_argument("--submission", help="number of the submission, the name of its folder")
    parser.add_argument("--clean-up", action="store_true", help="after an agent that was killed")
    parser.add_argument("--stopped", action="store_true", help="a signal came before: only say how the run goes on")
    options = parser.parse_args(arguments)
    run = RunPaths(options.run_dir)
    submission = SubmissionPaths(run.submissions / options.submission, run) if options.submission else None
    try:
        preflight.check_owner(run, options.run_id)
        path = plan_file(run, submission)
        plan = Plan.from_yaml(read_own(path))
    except BootstrapError as error:
        return _refuse(error)
    except ForeignRunError as error:
        return _refuse(BootstrapError(FailureClass.STORAGE, str(error)))
    run = RunPaths.of_run(run.root, array=plan.array, output_path=plan.spec.output.path)
    cluster = ClusterPaths(options.element_dir, run)
    try:
        allocation = _allocation(plan)
    except BootstrapError as error:
        return _refuse(error)
    if options.clean_up:
        start_logging(cluster.node(allocation.node_name).agent_log, echo=False)
        steps = [("clean-up", lambda: clean_up(cluster, allocation.node_name))]
        if allocation.is_head:
            figures = ("the figures for scrapers", lambda: remove_textfiles(cluster, plan))
            secrets = ("removing secrets", lambda: remove_secrets_of(cluster, array=plan.array))
            number = submission.number if submission else None
            said: list[str] = []
            telling = telling_of(cluster, plan)
            request = ("the request to go on", lambda: said.append(_go_on(cluster, plan, number)))
            report = ("the report", lambda: report_head_lost(cluster, allocation, "".join(said), telling))
            take_steps(request, secrets, report, figures, *steps)  # the outcome last: with it the run has ended
        else:
            take_steps(("the report", lambda: report_worker_lost(cluster, allocation)), *steps)
        return 0
    stop = StopRequest()
    stop.install()
    if options.stopped:
        stop.request(signal.SIGTERM)
    users_umask = os.umask(0o077)
    processes.become_subreaper()
    try:
        preflight.check_run_directory(cluster, allocation.node_name)
        shards = _shards(cluster, submission, stop) if allocation.is_head else []
    except BootstrapError as error:
        return _refuse(error)
    code = newest_code(run, submission.number if submission else None)
    folder = code[0] if code else None
    number = submission.number if submission else None
    context = AgentContext(plan, allocation, cluster, stop, dict(os.environ), path, users_umask, folder, number)
    return run_agent(context, shards)


def _shards(cluster: ClusterPaths, submission: SubmissionPaths | None, stop: StopRequest) -> list[int]:
    """What this element is to do; one that Slurm has started again goes on with what is left of it."""
    shards = shards_of_job(cluster.run, submission, os.environ, stop.wait)
    before = previous_element(cluster, submission.number if submission else None)
    again = before is not None and before.job_id == cluster.job_id
    return shards_left(before, shards) if again else shards


def _refuse(error: BootstrapError) -> int:
    """This node can take no part in the run, nor write into its directory."""
    step = f"; {error.next_step}" if error.next_step else ""
    print(f"curator-slurm: {socket.gethostname().split('.', 1)[0]}: {error}{step}", file=sys.stderr)
    return 78


def run_agent(context: AgentContext, shards: Sequence[int]) -> int:
    """The agent's whole life on one node."""
    allocation = context.allocation
    with contextlib.suppress(OSError):  # full storage: the probe has just written there, and what follows says so
        context.node.root.mkdir(parents=True, exist_ok=True)
    start_logging(context.node.agent_log, echo=allocation.is_head)
    for note in raise_limits(len(allocation.nodes)):
        log.warning("%s allows %s", allocation.node_name, note)
    for name, moment in times_of(context.environment.pop(TIMES, "")).items():
        with contextlib.suppress(ValueError):
            context.reached(Phase(name), moment)
    context.reached(Phase.AGENT, processes.started_at())
    context.report(NodeState.STARTING, "the agent started")
    node = Node(context)
    with _measured(context, node):
        code = Head(context, node, shards).run() if allocation.is_head else _worker(context, node)
    context.leave()
    return code


@contextlib.contextmanager
def _measured(context: AgentContext, node: Node) -> Iterator[None]:
    """Measure this node meanwhile, unless the spec says not to."""
    if not context.plan.spec.cluster.measure:
        yield
        return
    reader = FiguresReader(find_gpus(visible_gpus(os.environ)), lambda: node.session_dir, lambda: node.address)
    measuring = NodeMeasuring(context.node.metrics, reader.read, context.allocation.node_name)
    measuring.start()
    textfile = Textfile(context, lambda: measuring.last) if context.allocation.is_head else None
    if textfile is not None:
        textfile.start()
    try:
        yield
    finally:
        if textfile is not None:
            textfile.end()
        measuring.end()


def _worker(context: AgentContext, node: Node) -> int:
    try:
        context.environment = job_environment(context.environment, context.run, context.plan, context.code)
        return run_worker(context, node)
    except BootstrapError as error:
        return fail_worker(context, error)
    except Exception as error:
        log.exception("the agent failed")
        return fail_worker(context, BootstrapError("unknown", f"the agent failed: {error!r}", "read its agent.log"))
    finally:
        node.take_down()


def _go_on(cluster: ClusterPaths, plan: Plan, number: int | None) -> str:
    """Leave the request that the killed agent of the head could not leave; whether the run goes on, in words."""
    if plan.cluster is not Cluster.SLURM or cluster.outcome.exists():
        return ""
    ending = read_ending(cluster)
    return try_to_leave(cluster, plan, number, ending.failure_class if ending else FailureClass.NODE_FAILED).words


def report_head_lost(
    cluster: ClusterPaths, allocation: Allocation, restarts: str = "", telling: Telling | None = None
) -> None:
    """Tell the workers that nothing more will come, and users why, where the head's agent was killed before its end.

    `restarts`: whether the run goes on, in words; `telling`: what tells people of the end.
    """
    lost = None
    if not cluster.outcome.exists():
        lost = read_ending(cluster) or without_head(
            f"the agent on the head node {allocation.node_name} was killed",
            allocation.nodes,
            last_lines(cluster.node(allocation.node_name).agent_log, 5),
            "submit the run again; if it happens again, check the memory of the head node",
        )
        lost.message += f"; {restarts}" if restarts else ""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        code = lost.exit_code if lost else int((read_json(cluster.outcome) or {})["exit_code"])
        write_atomic(cluster.exit_code, f"{code}\n")
    with contextlib.suppress(OSError):
        Heartbeat(cluster.heartbeat).end()
    if lost:
        lost.write(cluster)  # last: with it the run has ended
    if lost and telling is not None:
        telling.end(lost)
        telling.finish(hurries=True)


def report_worker_lost(cluster: ClusterPaths, allocation: Allocation) -> None:
    """Tell the head not to count on this node any more, where its agent was killed before its end."""
    paths = cluster.node(allocation.node_name)
    status = read_node_status(paths)
    if status.get("state") in (NodeState.LEFT, NodeState.FAILED):
        return
    gone = NodeStatus(
        node=allocation.node_name,
        node_id=allocation.node_id,
        role="worker",
        state=NodeState.FAILED,
        message=f"the agent on {allocation.node_name} was killed",
        failure_class=FailureClass.NODE_FAILED,
        next_step="submit the run again; if it happens again, check the memory of the node",
        address=status.get("address"),
        session_dir=status.get("session_dir"),
        phases=status.get("phases") or {},
        memory_kills=int(status.get("memory_kills") or 0),
        group=status.get("group"),
        cpus=whole(status.get("cpus")) or 0,
        gpus=whole(status.get("gpus")) or 0,
        memory=whole(status.get("memory")) or 0,
    )
    with contextlib.suppress(OSError):
        paths.root.mkdir(parents=True, exist_ok=True)
        gone.write(paths)


def clean_up(cluster: ClusterPaths, node_name: str) -> None:
    """End what a killed agent left running on this node, and remove its session folder."""
    session = str(read_node_status(cluster.node(node_name)).get("session_dir") or "")
    if not session or not Path(session).name.startswith(SESSION_PREFIX):
        return
    processes.kill_ours(session, grace_s=0.0)
    remove_session(Path(session))
    shutil.rmtree(cluster.node(node_name).spill, ignore_errors=True)


def _allocation(plan: Plan) -> Allocation:
    if plan.cluster is Cluster.SLURM:
        return slurm_allocation(os.environ)
    host = socket.gethostname().split(".", 1)[0]
    return local_allocation(os.environ, host, plan.spec.resources.gpu_count)


if __name__ == "__main__":
    code = main()
    drop_unwritable()
    sys.exit(code)
