"""What state a run is in and why: a pure decision over what its files and Slurm say.

`snapshot` gathers the facts; nothing here does any I/O, so every case can be tested as a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm import messages
from curator_slurm.launcher.slurm.parse import JobInfo
from curator_slurm.launcher.states import RunState, SlurmState

FRESH_HEARTBEAT_S = 60.0
"""The head agent touches its heartbeat every few seconds; shared file systems may show it late."""
OUTCOME_DELAY_S = 30.0
"""How long after the end of a job that Slurm calls a success its outcome may still be on its way to us."""


@dataclass(frozen=True, kw_only=True)
class AttemptFacts:
    """What the files of one attempt say."""

    name: str
    job_id: str
    restart: int
    outcome: Mapping[str, Any] | None = None
    events: Sequence[Mapping[str, Any]] = ()
    nodes: Sequence[Mapping[str, Any]] = ()
    progress: Mapping[str, Any] | None = None
    heartbeat: float | None = None

    def has_event(self, name: str) -> bool:
        return any(event.get("event") == name for event in self.events)

    @property
    def started(self) -> float | None:
        """When its first agent started."""
        return _number(self.events[0].get("time")) if self.events else None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that decides the status of a run.

    `job` is what Slurm says of the latest submission, None where it knows nothing of it; `query_error` is set
    where Slurm could not be asked. `alive` is whether the local process lives, None where that cannot be told.
    """

    run_id: str
    now: float
    is_local: bool
    job_id: str | None
    host: str = ""
    attempt: AttemptFacts | None = None
    job: JobInfo | None = None
    query_error: str = ""
    alive: bool | None = None
    cancelled: float | None = None
    log_tail: Sequence[str] = ()
    nodes_wanted: int | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The state of a run and its reasons; `warnings` are doubts about them."""

    state: RunState
    failure_class: FailureClass | None = None
    message: str = ""
    evidence: Sequence[str] = ()
    next_step: str = ""
    nodes: Sequence[str] = ()
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    outputs: str | None = None
    stages: Sequence[Mapping[str, Any]] = ()
    tasks_failed: int | None = None
    object_store: Mapping[str, Any] | None = None
    never_starts: bool = False
    warnings: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def decide(facts: Facts) -> Decision:
    """The status that these facts prove."""
    attempt = _attempt_that_counts(facts)
    if attempt is not None and attempt.outcome is not None:
        decision = _from_outcome(attempt.outcome, facts)
    elif facts.is_local:
        decision = _local(facts, attempt)
    elif facts.job is not None:
        decision = _from_slurm(facts, facts.job, attempt)
    else:
        decision = _without_slurm(facts, attempt)
    return _with_progress(decision, attempt)


def _attempt_that_counts(facts: Facts) -> AttemptFacts | None:
    """The newest attempt, unless Slurm is at a later one that has left no file yet."""
    attempt, job = facts.attempt, facts.job
    if attempt is None or (facts.job_id is not None and attempt.job_id != facts.job_id):
        return None
    if job is None or job.state.is_final:
        return attempt
    if job.restarts is not None and job.restarts > attempt.restart:
        return None
    requeued = job.state.run_state is RunState.PENDING and attempt.outcome is not None
    return None if requeued else attempt


def _from_outcome(outcome: Mapping[str, Any], facts: Facts) -> Decision:
    state = _run_state(outcome.get("state"))
    failure = _failure_class(outcome.get("failure_class"))
    if state is RunState.FAILED and facts.cancelled is not None and failure in (None, FailureClass.CANCELLED):
        state = RunState.CANCELLED
    if state is RunState.CANCELLED:
        failure = FailureClass.CANCELLED
    elif state is RunState.FAILED and failure is None:
        failure = FailureClass.UNKNOWN
    return Decision(
        state=state,
        failure_class=failure,
        message=str(outcome.get("message") or ""),
        evidence=[str(line) for line in outcome.get("evidence") or ()],
        next_step=str(outcome.get("next_step") or ""),
        nodes=[str(node) for node in outcome.get("nodes") or ()],
        started=_number(outcome.get("started")),
        ended=_number(outcome.get("ended")),
        exit_code=outcome.get("exit_code"),
        outputs=outcome.get("outputs"),
    )


def _local(facts: Facts, attempt: AttemptFacts | None) -> Decision:
    alive = facts.alive
    warnings = []
    if alive is None:
        alive = _is_fresh(facts, attempt)
        if not alive:
            return Decision(
                state=RunState.UNKNOWN,
                message=f"The run was started on {facts.host or 'another machine'}, which alone knows if it is alive.",
                next_step=f"Run this command on {facts.host or 'that machine'}.",
            )
        warnings.append(f"it runs on {facts.host or 'another machine'}; shown is what its files say")
    if alive:
        return _active(facts, attempt, warnings)
    if facts.cancelled is not None:
        return _cancelled(facts, "The run was cancelled.")
    if facts.job_id is None:
        return _never_submitted()
    return _failed(facts, attempt, None, "The run ended without a word: its process is gone.")


def _from_slurm(facts: Facts, job: JobInfo, attempt: AttemptFacts | None) -> Decision:
    state = job.state.run_state
    if state is RunState.PENDING:
        return _pending(facts, job)
    if not job.state.is_final:
        return _active(facts, attempt, [])
    if facts.cancelled is not None and job.state is not SlurmState.COMPLETED:
        return _cancelled(facts, "The run was cancelled.")
    if state is RunState.CANCELLED:
        return _cancelled(facts, "The job was cancelled in Slurm.")
    if job.state is SlurmState.COMPLETED and facts.now - (job.ended or 0.0) < OUTCOME_DELAY_S:
        return Decision(
            state=RunState.RUNNING,
            message="The job has just ended; its outcome is not visible here yet.",
            nodes=job.nodes,
            started=job.started,
        )
    return _failed(facts, attempt, job, _how_it_ended(job))


def _how_it_ended(job: JobInfo) -> str:
    words, _ = messages.ending(job.state)
    if words:
        return words
    if job.state is SlurmState.COMPLETED:
        return "The job ended with exit code 0, but left no outcome."
    if job.reason == "BadConstraints":
        return "Slurm refused the job: no node satisfies what it asks for (BadConstraints)."
    how = f"signal {job.signal}" if job.signal and not job.exit_code else f"exit code {job.exit_code}"
    known = job.exit_code is not None
    return f"The job ended with {how}." if known else f"The job ended as {job.state.value} in Slurm."


def _without_slurm(facts: Facts, attempt: AttemptFacts | None) -> Decision:
    """Slurm does not know the job, or could not be asked, and there is no outcome."""
    if facts.query_error:
        warnings = [f"{facts.query_error.splitlines()[0]} Shown is what the files of the run say."]
        if _is_fresh(facts, attempt):
            return _active(facts, attempt, warnings)
        return Decision(
            state=RunState.UNKNOWN,
            message="Slurm cannot be asked, and the files of the run do not tell.",
            next_step="Try again in a few minutes.",
            warnings=warnings,
        )
    if facts.job_id is None:
        return _never_submitted()
    if _is_fresh(facts, attempt):
        return _active(facts, attempt, [f"Slurm does not know job {facts.job_id}, but the run shows signs of life"])
    if facts.cancelled is not None:
        return _cancelled(facts, "The run was cancelled.")
    return _failed(
        facts, attempt, None, f"Job {facts.job_id} is over, Slurm no longer knows it, and it left no outcome."
    )


def _never_submitted() -> Decision:
    return Decision(
        state=RunState.FAILED,
        failure_class=FailureClass.UNKNOWN,
        message="The run was prepared, but never submitted: submit was interrupted.",
        next_step="Submit the spec again.",
    )


def _pending(facts: Facts, job: JobInfo) -> Decision:
    if facts.cancelled is not None:
        return Decision(state=RunState.PENDING, message="The run is being cancelled.")
    waiting = messages.waiting(job.reason, job.job_id)
    verb = "will not start" if waiting.never else "waits"
    return Decision(
        state=RunState.PENDING,
        message=f"Job {job.job_id} {verb}: {waiting.words}.",
        next_step=waiting.next_step,
        never_starts=waiting.never,
    )


def _active(facts: Facts, attempt: AttemptFacts | None, warnings: Sequence[str]) -> Decision:
    job = facts.job
    nodes = job.nodes if job else [str(node["node"]) for node in attempt.nodes if "node" in node] if attempt else ()
    running = attempt is not None and attempt.has_event("driver_started")
    if facts.cancelled is not None:
        message = "The run is being cancelled."
    elif running:
        message = ""
    else:
        message = _starting(facts, attempt)
    return Decision(
        state=RunState.RUNNING if running else RunState.STARTING,
        message=message,
        nodes=nodes,
        started=(job.started if job else None) or (attempt.started if attempt else None),
        warnings=warnings,
    )


def _starting(facts: Facts, attempt: AttemptFacts | None) -> str:
    """How far the start of the cluster has come."""
    if attempt is None or not (attempt.events or attempt.nodes):
        return "The job has started; no node has reported yet."
    failed = [node for node in attempt.nodes if node.get("state") == "failed"]
    if failed:
        return f"Node {failed[0].get('node')} failed: {failed[0].get('message')}"
    joined = sum(node.get("state") == "joined" for node in attempt.nodes)
    if facts.nodes_wanted and joined:
        return f"{joined} of {facts.nodes_wanted} nodes have joined the cluster."
    last = attempt.events[-1].get("message") if attempt.events else None
    return str(last) if last else "The nodes are getting ready."


def _cancelled(facts: Facts, message: str) -> Decision:
    job = facts.job
    return Decision(
        state=RunState.CANCELLED,
        failure_class=FailureClass.CANCELLED,
        message=message,
        nodes=job.nodes if job else (),
        started=job.started if job else None,
        ended=(job.ended if job else None) or facts.cancelled,
    )


def _failed(facts: Facts, attempt: AttemptFacts | None, job: JobInfo | None, message: str) -> Decision:
    """A failure without an outcome: Slurm's state is the best witness, then what the nodes said."""
    failure = job.end_reason if job else None
    next_step = messages.ending(job.state)[1] if job else ""
    if failure is None and (node := _failed_node(attempt)) is not None:
        failure = _failure_class(node.get("failure_class"))
        message = f"Node {node.get('node')}: {node.get('message')}"
        next_step = str(node.get("next_step") or "")
    if failure is None and not facts.is_local:
        failure = messages.reason_in_log(facts.log_tail)
    return Decision(
        state=RunState.FAILED,
        failure_class=failure or FailureClass.UNKNOWN,
        message=message,
        evidence=list(facts.log_tail),
        next_step=next_step or f"`curator-slurm logs {facts.run_id} --all` shows everything that was logged.",
        nodes=job.nodes if job else (),
        started=(job.started if job else None) or (attempt.started if attempt else None),
        ended=job.ended if job else None,
        exit_code=job.exit_code if job else None,
    )


def _failed_node(attempt: AttemptFacts | None) -> Mapping[str, Any] | None:
    """The node that failed, the head before the others."""
    failed = [node for node in attempt.nodes if node.get("state") == "failed"] if attempt else []
    return min(failed, key=lambda node: (node.get("role") != "head", str(node.get("node"))), default=None)


def _with_progress(decision: Decision, attempt: AttemptFacts | None) -> Decision:
    """`decision` with the stages of the attempt that counts."""
    progress = attempt.progress if attempt else None
    if not progress:
        return decision
    totals, store = progress.get("totals") or {}, progress.get("object_store")
    return replace(
        decision,
        stages=[stage for stage in progress.get("stages") or () if isinstance(stage, dict)],
        tasks_failed=totals.get("tasks_failed"),
        object_store=store if isinstance(store, dict) else None,
    )


def _is_fresh(facts: Facts, attempt: AttemptFacts | None) -> bool:
    beat = attempt.heartbeat if attempt else None
    return beat is not None and abs(facts.now - beat) < FRESH_HEARTBEAT_S


def _run_state(value: object) -> RunState:
    try:
        return RunState(str(value))
    except ValueError:
        return RunState.UNKNOWN


def _failure_class(value: object) -> FailureClass | None:
    try:
        return FailureClass(str(value)) if value else None
    except ValueError:
        return FailureClass.UNKNOWN


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
