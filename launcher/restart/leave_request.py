"""Leaves the request to go on after an element, and beside it the folder of the submission that may be needed.

It is complete before anybody acts on it: the batch script moves the folder to its place and calls sbatch, and needs no
Python for that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from curator_slurm.launcher.errors import StorageError
from curator_slurm.launcher.failure_classes import FailureClass, failure_class_of
from curator_slurm.launcher.files import read_json
from curator_slurm.launcher.plan.excluded_nodes import excluded, may_exclude
from curator_slurm.launcher.plan.model import Plan
from curator_slurm.launcher.plan.restart_choice import restart_choice
from curator_slurm.launcher.ranges import whole_number
from curator_slurm.launcher.restart.element_history import ElementHistory, history_now, read_history
from curator_slurm.launcher.restart.policy import Restart, Rules, Stop, decide_for_all, rules_of
from curator_slurm.launcher.runs.done_records import done_shards
from curator_slurm.launcher.runs.node_faults import faults_folder, nodes_to_exclude, read_faults
from curator_slurm.launcher.runs.paths import ClusterPaths
from curator_slurm.launcher.runs.registry import load_run, run_comment
from curator_slurm.launcher.runs.restart_request import How, RestartRequest, read_request
from curator_slurm.launcher.runs.shard_records import Element
from curator_slurm.launcher.runs.submissions import (
    RESTART,
    Submission,
    SubmissionRecord,
    read_submissions,
    submission_of,
    write_resubmission,
)
from curator_slurm.launcher.spec.restart_section import Mechanism

_MEMORY = "resources.mem_per_node"


@dataclass(frozen=True)
class Left:
    """What was left: the request, and words for people; neither where nobody would expect the run to go on."""

    request: RestartRequest | None = None
    words: str = ""

    @property
    def goes_on(self) -> bool:
        return self.request is not None and self.request.how is not How.DROP


NOTHING = Left()


def leave_request(
    cluster: ClusterPaths, plan: Plan, number: int | None, failure: FailureClass | None, *, cancels: bool = False
) -> Left:
    """Decide whether the run goes on after an element that has ended in this way, and leave the request.

    `number` is that of its submission. `cancels`: the job has to be ended, too, for its head is lost.

    Raises:
        OSError: it cannot be written.
        StorageError: the run cannot be read.
    """
    begun = read_history(cluster)
    if (there := read_request(cluster)) is not None:
        return Left(there)
    if begun is None or failure in (None, FailureClass.CANCELLED, FailureClass.SUPERSEDED):
        return NOTHING
    own = _submission(cluster, number)
    endings = _endings(cluster, begun, failure)
    if not endings or was_cancelled(cluster, own):
        return NOTHING
    mechanism, rules = restart_choice(plan).mechanism, rules_for(plan)
    going, decision = decide_for_all(endings, history_now(cluster.run, begun), rules)
    if isinstance(decision, Stop):
        return _dropped(cluster, mechanism, own, decision)
    request = RestartRequest(
        how=_how(mechanism, decision, failure),
        shards=going,
        delay_s=decision.delay_s,
        cancels=cancels,
        exclude=_exclude(cluster, plan),
    )
    if request.how is How.SUBMIT or (request.how is How.REQUEUE and plan.spec.restart.mechanism is Mechanism.AUTO):
        request = replace(request, may_submit=True)
        with_changes = _with_changes(plan, decision.changes)
        if isinstance(with_changes, str):
            return Left(None, with_changes)
        request = _resubmission(cluster, with_changes, own, request, decision.changes)
    request.write(cluster)
    return Left(request, _words(request, decision))


def _exclude(cluster: ClusterPaths, plan: Plan) -> str:
    """The value of --exclude with nodes that failed twice; empty where there are none, or the site takes no names."""
    if not may_exclude(plan):
        return ""
    here = os.environ.get("SLURM_CLUSTER_NAME", "")
    faults = read_faults([faults_folder(cluster.run)])
    nodes = nodes_to_exclude([fault for fault in faults if fault.cluster == here])
    return excluded(plan, nodes) if nodes else ""


def rules_for(plan: Plan) -> Rules:
    """The rules of a plan; what its site has locked does not change."""
    rules = rules_of(plan.spec.restart, restart_choice(plan).mechanism, plan.spec.resources.mem_per_node)
    locked = any(f"{_MEMORY}.".startswith(f"{lock.key}.") for lock in plan.locks)
    return replace(rules, memory=None) if locked else rules


def was_cancelled(cluster: ClusterPaths, own: Submission | None) -> bool:
    """Whether somebody has asked for the end of this element, or of the run.

    Raises:
        StorageError: the run cannot be read.
    """
    record = load_run(cluster.run.root).record
    if record is None or record.cancelled is not None or cluster.cancelled.exists():
        return True
    task = whole_number(cluster.job_id.partition("_")[2])
    return own is not None and task is not None and task in own.record.cancelled_elements()


def _submission(cluster: ClusterPaths, number: int | None) -> Submission | None:
    return None if number is None else submission_of(read_submissions(cluster.run), number)


def _endings(cluster: ClusterPaths, begun: ElementHistory, failure: FailureClass) -> dict[int, FailureClass | None]:
    """The shards that are not done, and how each ended: by its own attempt, else with the element."""
    done, found = done_shards(cluster.run), dict[int, FailureClass | None]()
    for shard in begun.numbers:
        if shard not in done:
            found[shard] = failure
            with contextlib.suppress(OSError, ValueError):
                value = read_json(cluster.attempt(shard).outcome)
                if isinstance(value, dict) and not value.get("provisional"):
                    found[shard] = failure_class_of(value.get("failure_class"))
    return found


def _how(mechanism: Mechanism, decision: Restart, failure: FailureClass) -> How:
    if failure is FailureClass.REQUEUED and not decision.changes:
        return How.REQUEUE  # Slurm has done it: the batch script will find that
    if decision.changes or mechanism is Mechanism.RESUBMIT:
        return How.SUBMIT
    return How.CHAIN if mechanism is Mechanism.CHAIN else How.REQUEUE


def _dropped(cluster: ClusterPaths, mechanism: Mechanism, own: Submission | None, stop: Stop) -> Left:
    """It ends here, and so do the links that wait for it."""
    words = f"not restarted any more: {stop.reason}" if stop.reason else ""
    return Left(_drop(cluster, own) if mechanism is Mechanism.CHAIN else None, words)


def drop_links(cluster: ClusterPaths, plan: Plan, number: int | None) -> None:
    """All is done: the jobs of the chain that wait are not needed. Each would end at once, where this is impossible."""
    if restart_choice(plan).mechanism is Mechanism.CHAIN and not cluster.restart_request.exists():
        with contextlib.suppress(OSError, StorageError):
            _drop(cluster, _submission(cluster, number))


def _drop(cluster: ClusterPaths, own: Submission | None) -> RestartRequest | None:
    """Ask for the end of what waits in a chain."""
    if own is None:
        return None
    first = own.record.number if own.record.link_of is None else own.record.link_of
    later = [each.record for each in read_submissions(cluster.run) if each.record.link_of == first]
    task = cluster.job_id.partition("_")[2]
    ids = [f"{each.job_id}_{task}" if task else each.job_id for each in later if each.number > own.record.number]
    request = RestartRequest(how=How.DROP, jobs=[each for each in ids if each is not None])
    if not request.jobs:
        return None
    request.write(cluster)
    return request


def _with_changes(plan: Plan, changes: Mapping[str, str]) -> Plan | str:
    """The plan with the memory that it gets; or why it cannot have it."""
    if not changes:
        return plan
    from curator_slurm.launcher.plan.site_rules import refused

    resources = plan.spec.resources.model_copy(update={"mem_per_node": changes[_MEMORY]})
    spec = plan.spec.model_copy(update={"resources": resources})
    origins = {**plan.origins, _MEMORY: "restart.on_out_of_memory"}
    new = plan.model_copy(update={"spec": spec, "origins": origins})
    problems = refused(new, new.at_site()) if new.site is not None else []
    return f"not restarted with {changes[_MEMORY]} of memory: {problems[0].message}" if problems else new


def _resubmission(
    cluster: ClusterPaths, plan: Plan, own: Submission | None, request: RestartRequest, changes: Mapping[str, str]
) -> RestartRequest:
    """Write the folder of the next submission; the request with what sbatch is to be given."""
    job, _, task = cluster.job_id.partition("_")
    files = _files(own, plan, changes, cluster)
    element = _element(own, int(task or 0), request.shards)
    users = str(plan.spec.resources.sbatch.get("comment") or "")
    comment = run_comment(cluster.run.run_id, users).removesuffix("0000")
    record = SubmissionRecord(
        number=-1,
        purpose=RESTART,
        prepared=time.time(),
        comment=comment,
        elements=1,
        shards=len(request.shards),
        array=task,
        changes={**(own.record.changes if own is not None else {}), **changes},
        host=socket.gethostname(),
        restart_of=cluster.name,
    )
    shutil.rmtree(cluster.resubmission, ignore_errors=True)
    write_resubmission(cluster.resubmission, cluster.run, record, [element], files)
    request = replace(request, comment=comment, array=task)
    lanes = plan.spec.shards.max_running if plan.spec.shards is not None else None
    if lanes is None or not task:
        return request
    # Outside of its array no %n holds: so it waits for the array, and then for those of its lane.
    lane = request.shards[0] % lanes
    return replace(request, after=f"afterany:{job},singleton", job_name=f"{plan.spec.name}-{lane}")


def _files(own: Submission | None, plan: Plan, changes: Mapping[str, str], cluster: ClusterPaths) -> dict[str, str]:
    """A plan and a script of its own, where they are not those of the run."""
    run = cluster.run
    if changes:
        from curator_slurm.launcher.plan.script import render

        return {run.plan.name: plan.to_yaml(), run.script.name: render(plan)}
    if own is None or not own.paths.script.exists():
        return {}
    return {path.name: path.read_text() for path in (own.paths.plan, own.paths.script)}


def _element(own: Submission | None, number: int, shards: Sequence[int]) -> Element:
    """The element of the next submission: its shards, of which some may have got other input files."""
    revised = {shard for each in (own.elements if own is not None else ()) for shard in each.revised}
    return Element(number, tuple(shards), revised=tuple(shard for shard in shards if shard in revised))


def _words(request: RestartRequest, decision: Restart) -> str:
    """What happens next."""
    how = {
        How.REQUEUE: "the job is queued again",
        How.SUBMIT: "a new job is submitted",
        How.CHAIN: "the next job of its chain goes on",
    }[request.how]
    more = f" with {decision.changes[_MEMORY]} of memory on a node" if decision.changes else ""
    later = f", to start in {request.delay_s:.0f} s or later" if request.delay_s else ""
    return f"it goes on by itself: {how}{more}{later}"


def try_to_leave(
    cluster: ClusterPaths, plan: Plan, number: int | None, failure: FailureClass | None, *, cancels: bool = False
) -> Left:
    """`leave_request`; where the storage does not let us, the run ends and `retry` goes on with it."""
    try:
        return leave_request(cluster, plan, number, failure, cancels=cancels)
    except (OSError, StorageError) as error:
        return Left(None, f"it cannot go on by itself: {error}")
