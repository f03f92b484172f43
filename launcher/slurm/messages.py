"""Slurm's messages explained: what an error means and which setting to change, why a job is pending.

Pure functions over text. Slurm's own text is always kept; advice is added to it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.states import SlurmState

TRANSIENT = re.compile(
    r"Socket timed out|Unable to contact slurm controller|Connection refused|Connection timed out|Connection reset"
    r"|Zero Bytes were transmitted|Resource temporarily unavailable|Transport endpoint is not connected"
    r"|backup controller in standby|temporarily unable to accept job|Unexpected message received",
    re.IGNORECASE,
)
"""Errors that a retry may get past."""

NEVER_REACHED = re.compile(r"connect failure|Connection refused|standby", re.IGNORECASE)
"""Transient errors that prove the controller never received the request, so that it is safe to retry."""

UNKNOWN_JOB = re.compile(r"Invalid job id", re.IGNORECASE)
NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)
ALREADY_OVER = re.compile(r"already completing or completed|Invalid job id", re.IGNORECASE)


@dataclass(frozen=True)
class _Advice:
    pattern: re.Pattern[str]
    key: str
    hint: str = ""

    def text(self, match: re.Match[str]) -> str:
        """The advice, with the groups of the match filled in."""
        key, hint = (match.expand(part) if match.re.groups else part for part in (self.key, self.hint))
        change = f"Change {key} in the spec, or pass --set {key.split(',')[0]}=VALUE" if key else ""
        return ". ".join(part for part in (change, hint) if part)


def _advice(pattern: str, key: str, hint: str = "") -> _Advice:
    return _Advice(re.compile(pattern, re.IGNORECASE), key, hint)


_NO_CLUSTER = _advice(
    r"configuration source|slurm\.conf|resolve_ctls|Unable to determine this slurmd|cluster name",
    "",
    "This machine has Slurm's commands, and no cluster that they know (no slurm.conf). Work on a login node of your "
    "cluster; to run on this machine without Slurm, use --cluster local",
)
_SBATCH_ADVICE = (
    _advice(r"invalid partition", "resources.partition", "`sinfo` lists the partitions"),
    _advice(
        r"invalid account|account/partition combination",
        "resources.account",
        "`sacctmgr show associations user=$USER` lists your accounts",
    ),
    _advice(r"invalid qos", "resources.sbatch.qos", "`sacctmgr show qos` lists them"),
    _advice(r"invalid feature", "resources.sbatch.constraint", "`sinfo -o '%f'` lists the features of the nodes"),
    _advice(r"reservation", "resources.sbatch.reservation", "`scontrol show reservation` lists them"),
    _advice(r"memory specification", "resources.mem_per_node", "`sinfo -o '%P %m'` shows the memory of the nodes"),
    _advice(r"gres|generic resource", "resources.gpus_per_node", "`sinfo -o '%P %G'` shows what the nodes have"),
    _advice(r"time limit", "resources.time", "`sinfo -o '%P %l'` shows the limits of the partitions"),
    _advice(
        r"requested node configuration is not available|more processors requested|node count",
        "resources.nodes, cpus_per_node, mem_per_node or gpus_per_node",
        "`sinfo -o '%P %D %c %m %G'` shows what the partitions have",
    ),
    _advice(r"unrecognized option '?--([\w-]+)", r"resources.sbatch.\1", "This version of sbatch has no such option"),
    _advice(r"ambiguous option|invalid option|requires an argument", "resources.sbatch"),
    _advice(
        r"MaxSubmit|SubmitJobs?Limit",
        "",
        "Your account or QOS limits how many jobs you may have in the queue, and each array element counts as one",
    ),
    _advice(
        r"policy \(job submit limit|QOS policy|AssocMax|QOSMax|job violates",
        "resources",
        "The job exceeds what your account may use: request less, or wait for your other jobs to end",
    ),
    _advice(r"not permitted to use this partition", "resources.partition", "Your group may not use this partition"),
    _NO_CLUSTER,
    _advice(r"permission denied", "", "You do not have the permission; ask the administrators of the cluster"),
)


def refusal(stderr: str) -> str:
    """The message for a job that sbatch refused: Slurm's reason, then the setting of the spec to change."""
    message = f"Slurm refused the job: {reason(stderr)}"
    advice = sbatch_advice(stderr)
    return f"{message}\n{advice}." if advice else message


def sbatch_advice(stderr: str) -> str:
    """What to change after this error of sbatch; empty if there is no advice for it."""
    for line in _lines(stderr):
        for advice in _SBATCH_ADVICE:
            if match := advice.pattern.search(line):
                return advice.text(match)
    return ""


def unreachable(command: str, stderr: str) -> str:
    """The message for a controller that does not respond."""
    return (
        f"Slurm's controller does not respond: {reason(stderr) or 'timed out'} ({command}).\n"
        "Try again in a few minutes; `scontrol ping` shows whether the controller is up."
        + (" To run on this machine without Slurm, use --cluster local." if command == "sbatch" else "")
    )


def unreadable(command: Sequence[str], why: str) -> str:
    """The message for a command that succeeded and printed something else than it was asked for."""
    return (
        f"The output of {command[0]} cannot be parsed: {why}.\n"
        f"Try it by hand: {shlex.join(command)}\n"
        f"If {command[0]} is a wrapper of your site here, put the directory of Slurm's own commands first on PATH."
    )


def not_found(command: str, search_path: str) -> str:
    """The message for a Slurm command that is not installed."""
    folders = "\n".join(f"  {folder}" for folder in search_path.split(":") if folder) or "  (PATH is empty)"
    return (
        f"{command} was not found on this machine; searched these directories of PATH:\n{folders}\n"
        f"On a cluster, run this on a login node or load the module that provides Slurm; "
        f"to run on this machine without Slurm, use --cluster local."
    )


def failed(command: str, returncode: int, stderr: str) -> str:
    """The message for any other failure."""
    message = f"{command} failed with exit code {returncode}: {reason(stderr) or 'it printed no error message'}"
    return f"{message}\n{_NO_CLUSTER.hint}." if _NO_CLUSTER.pattern.search(stderr) else message


def _lines(stderr: str) -> list[str]:
    """The lines of an error without their `sbatch: error:` prefix."""
    stripped = (re.sub(r"^\w+: ((error|fatal): )?", "", line.strip()) for line in stderr.splitlines())
    return [line for line in stripped if line and not line.startswith("Try ")]


def reason(stderr: str) -> str:
    """All distinct lines of the error, joined on one line."""
    return "; ".join(dict.fromkeys(_lines(stderr)))


_TESTED = re.compile(r"Job \S+ to start at .* in partition (\S+)")


def partition_of_test(stderr: str) -> str:
    """The partition in which `sbatch --test-only` would start a job; empty where it names none."""
    match = _TESTED.search(stderr)
    return match[1] if match else ""


@dataclass(frozen=True)
class Waiting:
    """Why a job is pending; `never` if it will not start unless something is changed."""

    words: str
    never: bool = False
    next_step: str = ""


_SMALLER = "Cancel the run, change the spec and submit again; `sinfo` shows what the partitions have."
_LIMITS = "It starts when your other jobs have ended. `sacctmgr show qos` shows the limits."

_WAITING = {
    "Priority": Waiting("other jobs have a higher priority"),
    "Resources": Waiting("it is next in line; the resources it needs are in use"),
    "None": Waiting("the scheduler has not considered it yet"),
    "BeginTime": Waiting("its begin time has not been reached; after a requeue Slurm waits about two minutes"),
    "Dependency": Waiting("it depends on another job that has not ended"),
    "DependencyNeverSatisfied": Waiting("the job it depends on failed", True, "Cancel the run and submit it again."),
    "JobHeldUser": Waiting("you have put it on hold", True, "Release it with `scontrol release {job_id}`."),
    "JobHeldAdmin": Waiting("an administrator has put it on hold", True, "Ask the administrators of the cluster."),
    "JobArrayTaskLimit": Waiting("the array's limit of simultaneously running elements is reached"),
    "PartitionNodeLimit": Waiting("it requests more nodes than the partition allows or has", True, _SMALLER),
    "PartitionConfig": Waiting("it requests more than the partition has", True, _SMALLER),
    "PartitionTimeLimit": Waiting("resources.time is above the time limit of the partition", True, _SMALLER),
    "PartitionDown": Waiting("the partition is down", False, "`sinfo` shows when it is up again."),
    "PartitionInactive": Waiting("the partition is inactive", False, "`sinfo` shows when it is up again."),
    "BadConstraints": Waiting("no node satisfies its constraints", True, _SMALLER),
    "ReqNodeNotAvail": Waiting("a node it needs is down, drained or reserved", False, "`sinfo -R` shows why."),
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": Waiting(
        "nodes it needs are down, drained or reserved", False, "`sinfo -R` shows why."
    ),
    "NodeDown": Waiting("a node it needs is down", False, "`sinfo -R` shows why."),
    "Licenses": Waiting("a licence it needs is in use"),
    "Reservation": Waiting("its reservation has not started"),
    "InvalidAccount": Waiting("its account is not valid", True, "Change resources.account and submit again."),
    "InvalidQOS": Waiting("its QOS is not valid", True, "Change resources.sbatch.qos and submit again."),
    "AccountNotAllowed": Waiting(
        "the account may not use this partition", True, "Change resources.account or resources.partition."
    ),
    "QOSNotAllowed": Waiting("the QOS may not be used here", True, "Change resources.sbatch.qos."),
    "AccountingPolicy": Waiting("a limit of your account is reached", False, _LIMITS),
    "JobLaunchFailure": Waiting("Slurm could not start it", True, "Ask the administrators of the cluster."),
    "launch failed requeued held": Waiting(
        "Slurm could not start it and holds it", True, "Release it with `scontrol release {job_id}`, or cancel it."
    ),
    "SystemFailure": Waiting("Slurm reported a system failure", False, "Ask the administrators of the cluster."),
}


def waiting(reason: str, job_id: str) -> Waiting:
    """Why a job is pending, in words that always include Slurm's own reason."""
    reason = reason or "None"
    known = _WAITING.get(reason) or _WAITING.get(reason.split(",")[0].strip("() "))
    if known is None and reason.startswith(("QOS", "Assoc")):
        per_job = "PerJob" in reason or "MaxWallDuration" in reason or reason.endswith("MinCpuNotSatisfied")
        known = (
            Waiting("it requests more than one job of your account or QOS may have", True, _SMALLER)
            if per_job
            else Waiting("a limit of your account or QOS is reached", False, _LIMITS)
        )
    if known is None:
        return Waiting(reason)
    words = known.words if len(reason) > 40 or reason == "None" else f"{known.words} ({reason})"
    return Waiting(words, known.never, known.next_step.format(job_id=job_id))


IN_LOG = (
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO TIME LIMIT"), SlurmState.TIMEOUT),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO PREEMPTION"), SlurmState.PREEMPTED),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO NODE FAIL"), SlurmState.NODE_FAIL),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO JOB REQUEUE"), SlurmState.REQUEUED),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ \*\*\*"), SlurmState.CANCELLED),
    (re.compile(r"oom[_-]kill event|Out Of Memory", re.IGNORECASE), SlurmState.OUT_OF_MEMORY),
)
"""What slurmstepd and srun write into a job's log when Slurm ends it -> the state that the job gets."""


def state_in_log(lines: Iterable[str]) -> SlurmState | None:
    """The state in which Slurm ended a job, according to its log; None where Slurm did not end it."""
    text = "\n".join(lines)
    return next((state for pattern, state in IN_LOG if pattern.search(text)), None)


def reason_in_log(lines: Iterable[str]) -> FailureClass | None:
    """Why Slurm ended a job, according to its log; None where Slurm did not end it."""
    state = state_in_log(lines)
    return state.failure_class if state else None


_JOB_CANCELLED = re.compile(r"\*\*\* JOB \S+ ON \S+ CANCELLED AT \S+ \*\*\*")


def job_is_cancelled(lines: Iterable[str]) -> bool:
    """Whether a job as a whole was cancelled. A preemption with a grace begins with a line about the step alone."""
    return any(_JOB_CANCELLED.search(line) for line in lines)


_ENDINGS = {
    SlurmState.BOOT_FAIL: ("A node of the job could not be booted.", ""),
    SlurmState.CANCELLED: ("The job was cancelled in Slurm.", ""),
    SlurmState.DEADLINE: ("The job reached its deadline.", "Change resources.sbatch.deadline."),
    SlurmState.LAUNCH_FAILED: ("Slurm could not start the job on its nodes.", ""),
    SlurmState.NODE_FAIL: ("A node of the job failed.", ""),
    SlurmState.OUT_OF_MEMORY: ("The job used more memory than it requested and was killed.", ""),
    SlurmState.PREEMPTED: ("The job was preempted by one with a higher priority.", ""),
    SlurmState.REQUEUED: ("Slurm, or an administrator, put the job back into the queue.", ""),
    SlurmState.TIMEOUT: ("The job was ended at its time limit.", ""),
}


def ending(state: SlurmState) -> tuple[str, str]:
    """What a final state means, and what to do next where its failure class does not tell; both may be empty."""
    return _ENDINGS.get(state, ("", ""))


_NO_LOG = 53
"""The signal that Slurm names (as the exit code 0:53) of a job whose standard output it could not open. squeue, which
tells of all elements of an array at once, has the reason JobLaunchFailure in its place."""


def could_not_open_log(reason: str, exit_code: int | None, signal: int | None) -> bool:
    """Whether a job ended because Slurm could not open its log, which it does before the script runs."""
    return reason == "JobLaunchFailure" or (signal == _NO_LOG and not exit_code)


def without_log(run_dir: str, nodes: Sequence[str]) -> tuple[str, str]:
    """What to say of such a job: its script would have told what is wrong with the run directory. And the next step."""
    node = f" on node {nodes[0]}" if nodes else ""
    return (
        f"Slurm could not open the job's log in {run_dir}{node}: is the folder on storage that the nodes share and "
        "can write, and is there room left in it and in your quota?",
        "Make room, or submit again with a folder that all nodes see and can write: --set storage.runs=DIR, or "
        "storage.runs in the spec.",
    )
