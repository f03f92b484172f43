"""States: Slurm's own, mapped totally to the few states of a run."""

from __future__ import annotations

from enum import StrEnum

from curator_slurm.launcher.failure_classes import FailureClass


class RunState(StrEnum):
    """State of a run (or of one attempt) as shown to users."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
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
        """Whether its job is known to wait or to run."""
        return self in (RunState.PENDING, RunState.STARTING, RunState.RUNNING)


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
