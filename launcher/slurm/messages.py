"""Slurm's words for end users: what an error means and which setting to change, why a job waits.

Pure functions over text. Slurm's own words are always kept: advice is added to them, it does not replace them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.states import SlurmState

TRANSIENT = re.compile(
    r"Socket timed out|Unable to contact slurm controller|Connection refused|Connection timed out|Connection reset"
    r"|Zero Bytes were transmitted|Resource temporarily unavailable|Transport endpoint is not connected"
    r"|backup controller in standby|temporarily unable to accept job|Unexpected message received",
    re.IGNORECASE,
)
"""Errors that may be gone a moment later."""

NEVER_REACHED = re.compile(r"connect failure|Connection refused|standby", re.IGNORECASE)
"""Transient errors which prove that the controller did not get the request: safe to send again."""

UNKNOWN_JOB = re.compile(r"Invalid job id", re.IGNORECASE)
NO_ACCOUNTING = re.compile(r"accounting storage is disabled", re.IGNORECASE)
ALREADY_OVER = re.compile(r"already completing or completed|Invalid job id", re.IGNORECASE)


@dataclass(frozen=True)
class _Advice:
    pattern: re.Pattern[str]
    key: str
    hint: str = ""

    def text(self, match: re.Match[str]) -> str:
        """What to do, with the groups of the match filled in."""
        key, hint = (match.expand(part) if match.re.groups else part for part in (self.key, self.hint))
        change = f"Change {key} in the spec, or give --set {key.split(',')[0]}=VALUE" if key else ""
        return ". ".join(part for part in (change, hint) if part)


def _advice(pattern: str, key: str, hint: str = "") -> _Advice:
    return _Advice(re.compile(pattern, re.IGNORECASE), key, hint)


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
    _advice(r"unrecognized option '?--([\w-]+)", r"resources.sbatch.\1", "This sbatch does not know that option"),
    _advice(r"ambiguous option|invalid option|requires an argument", "resources.sbatch"),
    _advice(
        r"MaxSubmit|SubmitJobs?Limit",
        "",
        "Your account or QOS limits how many jobs you may have in the queue, and each array element is one",
    ),
    _advice(
        r"policy \(job submit limit|QOS policy|AssocMax|QOSMax|job violates",
        "resources",
        "The job exceeds what your account may use: ask for less, or wait for your other jobs",
    ),
    _advice(r"not permitted to use this partition", "resources.partition", "Your group may not use this one"),
    _advice(r"permission denied", "", "You may not do this; ask the administrators of the cluster"),
)


def refusal(stderr: str) -> str:
    """The message for a job that sbatch refused: Slurm's reason, then the setting of the spec to change."""
    message = f"Slurm refused the job: {_first_reason(stderr)}"
    advice = sbatch_advice(stderr)
    return f"{message}\n{advice}." if advice else message


def sbatch_advice(stderr: str) -> str:
    """What to change after this error of sbatch; empty where nothing is known of it."""
    for line in _lines(stderr):
        for advice in _SBATCH_ADVICE:
            if match := advice.pattern.search(line):
                return advice.text(match)
    return ""


def unreachable(command: str, stderr: str) -> str:
    """The message for a controller that does not answer."""
    return (
        f"Slurm's controller does not answer: {_first_reason(stderr) or 'no answer in time'} ({command}).\n"
        "Try again in a few minutes; `scontrol ping` shows whether the controller is up."
    )


def not_found(command: str, search_path: str) -> str:
    """The message for a Slurm command that is not installed."""
    folders = "\n".join(f"  {folder}" for folder in search_path.split(":") if folder) or "  (PATH is empty)"
    return (
        f"There is no {command} on this machine; looked in these folders of PATH:\n{folders}\n"
        f"On a cluster, run this on a login node or load the module that has Slurm; "
        f"to run on this machine without Slurm, use --cluster local."
    )


def failed(command: str, returncode: int, stderr: str) -> str:
    """The message for any other failure."""
    return f"{command} failed with exit code {returncode}: {_first_reason(stderr) or 'it printed no reason'}"


def _lines(stderr: str) -> list[str]:
    """The lines of an error without the `sbatch: error:` in front."""
    stripped = (re.sub(r"^\w+: ((error|fatal): )?", "", line.strip()) for line in stderr.splitlines())
    return [line for line in stripped if line and not line.startswith("Try ")]


def _first_reason(stderr: str) -> str:
    """All that was said, on one line, each thing once."""
    return "; ".join(dict.fromkeys(_lines(stderr)))


@dataclass(frozen=True)
class Waiting:
    """Why a job waits; `never` when it will not start unless somebody changes something."""

    words: str
    never: bool = False
    next_step: str = ""


_SMALLER = "Cancel the run, change the spec and submit again; `sinfo` shows what the partitions have."
_LIMITS = "It starts when your other jobs have ended. `sacctmgr show qos` shows the limits."

_WAITING = {
    "Priority": Waiting("other jobs have a higher priority"),
    "Resources": Waiting("it is next in line for resources that are in use now"),
    "None": Waiting("Slurm has not looked at it yet"),
    "BeginTime": Waiting("its begin time has not come; after a requeue Slurm waits about two minutes"),
    "Dependency": Waiting("it depends on another job that has not ended"),
    "DependencyNeverSatisfied": Waiting("the job it depends on failed", True, "Cancel the run and submit it again."),
    "JobHeldUser": Waiting("you hold it", True, "Release it with `scontrol release {job_id}`."),
    "JobHeldAdmin": Waiting("an administrator holds it", True, "Ask the administrators of the cluster."),
    "JobArrayTaskLimit": Waiting("as many elements of the array as allowed are running"),
    "PartitionNodeLimit": Waiting("it asks for more nodes than the partition allows or has", True, _SMALLER),
    "PartitionConfig": Waiting("it asks for more than the partition has", True, _SMALLER),
    "PartitionTimeLimit": Waiting("resources.time is above the time limit of the partition", True, _SMALLER),
    "PartitionDown": Waiting("the partition is down", False, "`sinfo` shows when it is up again."),
    "PartitionInactive": Waiting("the partition is inactive", False, "`sinfo` shows when it is up again."),
    "BadConstraints": Waiting("no node satisfies what it asks for", True, _SMALLER),
    "ReqNodeNotAvail": Waiting("a node it needs is down, drained or reserved", False, "`sinfo -R` shows why."),
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": Waiting(
        "nodes it needs are down, drained or reserved", False, "`sinfo -R` shows why."
    ),
    "NodeDown": Waiting("a node it needs is down", False, "`sinfo -R` shows why."),
    "Licenses": Waiting("a licence it needs is in use"),
    "Reservation": Waiting("its reservation has not begun"),
    "InvalidAccount": Waiting("its account is not valid", True, "Change resources.account and submit again."),
    "InvalidQOS": Waiting("its QOS is not valid", True, "Change resources.sbatch.qos and submit again."),
    "AccountNotAllowed": Waiting(
        "the account may not use this partition", True, "Change resources.account or resources.partition."
    ),
    "QOSNotAllowed": Waiting("the QOS may not be used here", True, "Change resources.sbatch.qos."),
    "AccountingPolicy": Waiting("a limit of your account is reached", False, _LIMITS),
    "JobLaunchFailure": Waiting("Slurm could not start it", True, "Ask the administrators of the cluster."),
    "launch failed requeued held": Waiting(
        "Slurm could not start it and holds it now", True, "Release it with `scontrol release {job_id}`, or cancel it."
    ),
    "SystemFailure": Waiting("Slurm had a failure", False, "Ask the administrators of the cluster."),
}


def waiting(reason: str, job_id: str) -> Waiting:
    """What a pending job waits for, in words; Slurm's own word is always part of it."""
    reason = reason or "None"
    known = _WAITING.get(reason) or _WAITING.get(reason.split(",")[0].strip("() "))
    if known is None and reason.startswith(("QOS", "Assoc")):
        per_job = "PerJob" in reason or "MaxWallDuration" in reason or reason.endswith("MinCpuNotSatisfied")
        known = (
            Waiting("it asks for more than one job of your account or QOS may have", True, _SMALLER)
            if per_job
            else Waiting("a limit of your account or QOS is reached", False, _LIMITS)
        )
    if known is None:
        return Waiting(reason)
    words = known.words if len(reason) > 40 or reason == "None" else f"{known.words} ({reason})"
    return Waiting(words, known.never, known.next_step.format(job_id=job_id))


_IN_LOG = (
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO TIME LIMIT"), FailureClass.TIME_LIMIT),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO PREEMPTION"), FailureClass.PREEMPTED),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO NODE FAIL"), FailureClass.NODE_FAILED),
    (re.compile(r"\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ \*\*\*"), FailureClass.CANCELLED),
    (re.compile(r"oom[_-]kill event|Out Of Memory", re.IGNORECASE), FailureClass.OUT_OF_MEMORY),
)


def reason_in_log(lines: Iterable[str]) -> FailureClass | None:
    """Why Slurm ended a job, by what slurmstepd and srun wrote into its output."""
    text = "\n".join(lines)
    return next((failure for pattern, failure in _IN_LOG if pattern.search(text)), None)


_ENDINGS = {
    SlurmState.BOOT_FAIL: ("A node of the job could not be booted.", "Submit the run again."),
    SlurmState.CANCELLED: ("The job was cancelled in Slurm.", ""),
    SlurmState.DEADLINE: ("The job reached its deadline.", "Change resources.sbatch.deadline and submit again."),
    SlurmState.LAUNCH_FAILED: ("Slurm could not start the job on its nodes.", "Submit the run again."),
    SlurmState.NODE_FAIL: ("A node of the job failed.", "Submit the run again; `sinfo -R` shows nodes that are down."),
    SlurmState.OUT_OF_MEMORY: (
        "The job used more memory than it had asked for and was killed.",
        "Ask for more with resources.mem_per_node, or run fewer workers at a time.",
    ),
    SlurmState.PREEMPTED: ("The job was preempted by one with a higher priority.", "Submit the run again."),
    SlurmState.TIMEOUT: (
        "The job reached its time limit and was ended.",
        "Ask for more with resources.time, or submit less work at a time.",
    ),
}


def ending(state: SlurmState) -> tuple[str, str]:
    """What a final state means and what to do next; two empty texts for a state that explains nothing."""
    return _ENDINGS.get(state, ("", ""))
