"""States of a run: what may follow what, as a table; and Slurm's own states, mapped totally to these few.

`status/run_decision.py` finds the state of a run from facts, whatever was seen before. TRANSITIONS says which changes
of facts lead from which state to which; tests make each of them happen, and no other. docs/states.svg is drawn from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from curator_slurm.launcher.failure_classes import FailureClass


class RunState(StrEnum):
    """State of a run (or of one attempt) as shown to users."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    RESTARTING = "restarting"
    COMPLETED = "completed"
    FAILED = "failed"
    INCOMPLETE = "incomplete"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        return self in (RunState.COMPLETED, RunState.FAILED, RunState.INCOMPLETE, RunState.CANCELLED)

    @property
    def is_active(self) -> bool:
        """Whether its job is known to wait or to run, or to do so again by itself."""
        return self in _ACTIVE


class RunChange(StrEnum):
    """What happens to a run, or becomes known of it."""

    SUBMITTED = "submitted"
    JOB_STARTED = "job started"
    WORK_BEGUN = "work begun"
    OTHERS_GO_ON = "a job ended, others go on"
    DRAIN_BEGUN = "told to drain"
    RESTART_DUE = "interrupted"
    ALL_DONE = "all shards done"
    ENDED = "ended, no shard done"
    ENDED_PARTLY = "ended, some shards done"
    CANCELLED = "cancelled"
    RETRIED = "retried, no shard done"
    RETRIED_PARTLY = "retried, some shards done"
    LOST_SIGHT = "nobody can tell"
    SEEN_AGAIN = "known again"


class Transition(NamedTuple):
    """What a change makes of a state; `before` is None where a run begins."""

    before: RunState | None
    change: RunChange
    after: RunState


_ACTIVE = (RunState.PENDING, RunState.STARTING, RunState.RUNNING, RunState.DRAINING, RunState.RESTARTING)
_ENDS = {
    RunChange.ALL_DONE: RunState.COMPLETED,
    RunChange.ENDED: RunState.FAILED,
    RunChange.ENDED_PARTLY: RunState.INCOMPLETE,
    RunChange.CANCELLED: RunState.CANCELLED,
}
_ON_THE_WAY = (
    Transition(None, RunChange.SUBMITTED, RunState.PENDING),
    Transition(RunState.PENDING, RunChange.JOB_STARTED, RunState.STARTING),
    Transition(RunState.PENDING, RunChange.WORK_BEGUN, RunState.RUNNING),  # an earlier job at one of the shards
    Transition(RunState.STARTING, RunChange.WORK_BEGUN, RunState.RUNNING),
    Transition(RunState.STARTING, RunChange.DRAIN_BEGUN, RunState.DRAINING),
    Transition(RunState.STARTING, RunChange.RESTART_DUE, RunState.RESTARTING),
    Transition(RunState.RUNNING, RunChange.DRAIN_BEGUN, RunState.DRAINING),
    Transition(RunState.RUNNING, RunChange.RESTART_DUE, RunState.RESTARTING),
    Transition(RunState.DRAINING, RunChange.WORK_BEGUN, RunState.RUNNING),  # another element of the run
    Transition(RunState.DRAINING, RunChange.RESTART_DUE, RunState.RESTARTING),
    Transition(RunState.RESTARTING, RunChange.JOB_STARTED, RunState.STARTING),
    Transition(RunState.RESTARTING, RunChange.WORK_BEGUN, RunState.RUNNING),
)
_OF_ARRAYS = (
    Transition(RunState.DRAINING, RunChange.JOB_STARTED, RunState.STARTING),
    Transition(RunState.RUNNING, RunChange.OTHERS_GO_ON, RunState.STARTING),
    Transition(RunState.RUNNING, RunChange.OTHERS_GO_ON, RunState.PENDING),
    Transition(RunState.STARTING, RunChange.OTHERS_GO_ON, RunState.PENDING),
    Transition(RunState.DRAINING, RunChange.OTHERS_GO_ON, RunState.PENDING),
    Transition(RunState.RESTARTING, RunChange.OTHERS_GO_ON, RunState.PENDING),
)
"""The state of a run of many jobs is that of the one which has come furthest."""
_AFTER_THE_END = (
    Transition(RunState.FAILED, RunChange.RETRIED, RunState.PENDING),
    Transition(RunState.CANCELLED, RunChange.RETRIED, RunState.PENDING),
    Transition(RunState.CANCELLED, RunChange.RETRIED_PARTLY, RunState.RUNNING),
    Transition(RunState.INCOMPLETE, RunChange.RETRIED_PARTLY, RunState.RUNNING),
)
_KNOWN = tuple(state for state in RunState if state is not RunState.UNKNOWN)
TRANSITIONS: tuple[Transition, ...] = (
    *_ON_THE_WAY,
    *_OF_ARRAYS,
    *(Transition(state, change, end) for state in _ACTIVE for change, end in _ENDS.items()),
    *_AFTER_THE_END,
    *(Transition(state, RunChange.LOST_SIGHT, RunState.UNKNOWN) for state in _KNOWN),
    *(Transition(RunState.UNKNOWN, RunChange.SEEN_AGAIN, state) for state in _KNOWN),
)
"""All that may follow: of a run that is looked at often enough."""


def may_follow(before: RunState, after: RunState) -> bool:
    """Whether a run in the first state may be seen in the other at the next look, having changed once or not at all."""
    return before is after or any((each.before, each.after) == (before, after) for each in TRANSITIONS)


class SlurmState(StrEnum):
    """Job states of Slurm in their long form; what Slurm says and we do not know is UNKNOWN."""

    BOOT_FAIL = "BOOT_FAIL"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    COMPLETING = "COMPLETING"
    CONFIGURING = "CONFIGURING"
    DEADLINE = "DEADLINE"
    FAILED = "FAILED"
    LAUNCH_FAILED = "LAUNCH_FAILED"
    NODE_FAIL = "NODE_FAIL"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    PENDING = "PENDING"
    PREEMPTED = "PREEMPTED"
    RECONFIG_FAIL = "RECONFIG_FAIL"
    REQUEUED = "REQUEUED"
    REQUEUE_FED = "REQUEUE_FED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    RESIZING = "RESIZING"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    REVOKED = "REVOKED"
    RUNNING = "RUNNING"
    SIGNALING = "SIGNALING"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    STAGE_OUT = "STAGE_OUT"
    STOPPED = "STOPPED"
    SUSPENDED = "SUSPENDED"
    TIMEOUT = "TIMEOUT"
    UNKNOWN = "UNKNOWN"

    @classmethod
    def parse(cls, text: str) -> SlurmState:
        """Read a state as any Slurm command prints it: compact or long, `CANCELLED by 1000`, `RUNNING+`."""
        words = text.strip().split()
        word = words[0].rstrip("+*").upper() if words else ""
        word = _COMPACT.get(word, word)
        try:
            return cls(word)
        except ValueError:
            return cls.UNKNOWN

    @property
    def is_final(self) -> bool:
        """Whether Slurm will do nothing more with the job."""
        return self in _FINAL

    @property
    def run_state(self) -> RunState:
        """The state of a run whose job is in this state."""
        return _RUN_STATES.get(self, RunState.UNKNOWN)

    @property
    def failure_class(self) -> FailureClass | None:
        """What this state alone proves about the failure; None where it proves nothing."""
        return _FAILURES.get(self)


_COMPACT = {
    "BF": "BOOT_FAIL",
    "CA": "CANCELLED",
    "CD": "COMPLETED",
    "CF": "CONFIGURING",
    "CG": "COMPLETING",
    "DL": "DEADLINE",
    "F": "FAILED",
    "NF": "NODE_FAIL",
    "OOM": "OUT_OF_MEMORY",
    "PD": "PENDING",
    "PR": "PREEMPTED",
    "R": "RUNNING",
    "RD": "RESV_DEL_HOLD",
    "RF": "REQUEUE_FED",
    "RH": "REQUEUE_HOLD",
    "RQ": "REQUEUED",
    "RS": "RESIZING",
    "RV": "REVOKED",
    "S": "SUSPENDED",
    "SE": "SPECIAL_EXIT",
    "SI": "SIGNALING",
    "SO": "STAGE_OUT",
    "ST": "STOPPED",
    "TO": "TIMEOUT",
}

_FAILURES = {
    SlurmState.BOOT_FAIL: FailureClass.NODE_FAILED,
    SlurmState.CANCELLED: FailureClass.CANCELLED,
    SlurmState.DEADLINE: FailureClass.TIME_LIMIT,
    SlurmState.LAUNCH_FAILED: FailureClass.NODE_FAILED,
    SlurmState.NODE_FAIL: FailureClass.NODE_FAILED,
    SlurmState.OUT_OF_MEMORY: FailureClass.OUT_OF_MEMORY,
    SlurmState.PREEMPTED: FailureClass.PREEMPTED,
    SlurmState.REQUEUED: FailureClass.REQUEUED,
    SlurmState.RECONFIG_FAIL: FailureClass.NODE_FAILED,
    SlurmState.REVOKED: FailureClass.CANCELLED,
    SlurmState.TIMEOUT: FailureClass.TIME_LIMIT,
}

_FINAL = frozenset(
    {
        SlurmState.BOOT_FAIL,
        SlurmState.CANCELLED,
        SlurmState.COMPLETED,
        SlurmState.DEADLINE,
        SlurmState.FAILED,
        SlurmState.LAUNCH_FAILED,
        SlurmState.NODE_FAIL,
        SlurmState.OUT_OF_MEMORY,
        SlurmState.PREEMPTED,
        SlurmState.RECONFIG_FAIL,
        SlurmState.REVOKED,
        SlurmState.TIMEOUT,
    }
)

_RUN_STATES = {
    **dict.fromkeys(_FINAL, RunState.FAILED),
    SlurmState.CANCELLED: RunState.CANCELLED,
    SlurmState.REVOKED: RunState.CANCELLED,
    SlurmState.COMPLETED: RunState.COMPLETED,
    SlurmState.PENDING: RunState.PENDING,
    SlurmState.REQUEUED: RunState.PENDING,
    SlurmState.REQUEUE_FED: RunState.PENDING,
    SlurmState.REQUEUE_HOLD: RunState.PENDING,
    SlurmState.RESV_DEL_HOLD: RunState.PENDING,
    SlurmState.SPECIAL_EXIT: RunState.PENDING,
    SlurmState.CONFIGURING: RunState.STARTING,
    SlurmState.COMPLETING: RunState.RUNNING,
    SlurmState.RESIZING: RunState.RUNNING,
    SlurmState.RUNNING: RunState.RUNNING,
    SlurmState.SIGNALING: RunState.RUNNING,
    SlurmState.STAGE_OUT: RunState.RUNNING,
    SlurmState.STOPPED: RunState.RUNNING,
    SlurmState.SUSPENDED: RunState.RUNNING,
}
