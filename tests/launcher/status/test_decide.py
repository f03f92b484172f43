"""The decision about a run's state, case by case, as values."""

from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.slurm.parse import JobInfo
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.decide import AttemptFacts, Facts, decide

NOW = 1_795_500_000.0
STARTED = ({"event": "agent_started", "time": NOW - 50, "message": "the agent has started"},)
DRIVING = (*STARTED, {"event": "driver_started", "time": NOW - 40, "message": "the driver has started"})


def facts(**more: Any) -> Facts:
    return Facts(**{"run_id": "20260101-000000-aaaa", "now": NOW, "is_local": False, "job_id": "7", **more})


def attempt(**more: Any) -> AttemptFacts:
    return AttemptFacts(**{"name": "7.0", "job_id": "7", "restart": 0, **more})


def job(state: SlurmState, **more: Any) -> JobInfo:
    return JobInfo(**{"job_id": "7", "state": state, "nodes": ("n1", "n2"), **more})


def outcome(state: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "message": "as it was", "exit_code": 1, "started": 1.0, "ended": 2.0, **more}


# With an outcome


@pytest.mark.parametrize("slurm", [None, job(SlurmState.COMPLETED), job(SlurmState.COMPLETING)])
def test_the_outcome_is_the_truth(slurm: JobInfo | None) -> None:
    decision = decide(facts(attempt=attempt(outcome=outcome("completed", outputs="/out")), job=slurm))
    assert (decision.state, decision.outputs, decision.ended) == (RunState.COMPLETED, "/out", 2.0)


def test_a_failure_keeps_its_class_and_evidence() -> None:
    content = outcome("failed", failure_class="app_failed", evidence=["ValueError: x"], next_step="fix it")
    decision = decide(facts(attempt=attempt(outcome=content), job=job(SlurmState.FAILED)))
    assert decision.state is RunState.FAILED
    assert decision.failure_class is FailureClass.APP_FAILED
    assert decision.evidence == ["ValueError: x"]
    assert decision.next_step == "fix it"


def test_a_class_of_a_later_version_is_unknown() -> None:
    decision = decide(facts(attempt=attempt(outcome=outcome("failed", failure_class="eaten_by_dog"))))
    assert decision.failure_class is FailureClass.UNKNOWN


def test_a_requeued_job_has_left_its_outcome_behind() -> None:
    old = attempt(outcome=outcome("failed", failure_class="preempted"))
    waiting = decide(facts(attempt=old, job=job(SlurmState.PENDING, reason="BeginTime")))
    assert waiting.state is RunState.PENDING
    again = decide(facts(attempt=old, job=job(SlurmState.RUNNING, restarts=1)))
    assert again.state is RunState.STARTING
    ending = decide(facts(attempt=old, job=job(SlurmState.RUNNING, restarts=0)))
    assert ending.state is RunState.FAILED


def test_the_outcome_of_an_earlier_submission_does_not_count() -> None:
    old = attempt(job_id="6", name="6.0", outcome=outcome("failed"))
    assert decide(facts(attempt=old, job=job(SlurmState.PENDING))).state is RunState.PENDING


def test_an_outcome_after_cancel_is_cancelled() -> None:
    content = outcome("failed", failure_class="cancelled")
    decision = decide(facts(attempt=attempt(outcome=content), cancelled=NOW))
    assert (decision.state, decision.failure_class) == (RunState.CANCELLED, FailureClass.CANCELLED)


# Active


@pytest.mark.parametrize("local", [True, False])
def test_starting_and_running(local: bool) -> None:
    where: dict[str, Any] = {"is_local": True, "alive": True} if local else {"job": job(SlurmState.RUNNING)}
    assert decide(facts(**where)).state is RunState.STARTING
    assert decide(facts(**where, attempt=attempt(events=STARTED))).state is RunState.STARTING
    assert decide(facts(**where, attempt=attempt(events=DRIVING))).state is RunState.RUNNING


def test_a_start_says_how_far_it_is() -> None:
    nodes = ({"node": "n1", "state": "joined"}, {"node": "n2", "state": "starting"})
    running = job(SlurmState.RUNNING)
    decision = decide(facts(job=running, nodes_wanted=2, attempt=attempt(events=STARTED, nodes=nodes)))
    assert decision.message == "1 of 2 nodes have joined the cluster."
    failed = ({"node": "n2", "state": "failed", "message": "no space"},)
    decision = decide(facts(job=running, attempt=attempt(events=STARTED, nodes=failed)))
    assert decision.message == "Node n2 failed: no space"
    assert decide(facts(job=running, attempt=attempt(events=STARTED))).message == "the agent has started"


def test_progress_is_shown() -> None:
    progress = {"stages": [{"name": "reader", "tasks_in": 3}], "totals": {"tasks_failed": 2}}
    decision = decide(facts(job=job(SlurmState.RUNNING), attempt=attempt(events=DRIVING, progress=progress)))
    assert decision.stages == [{"name": "reader", "tasks_in": 3}]
    assert decision.tasks_failed == 2


def test_pending_says_why_in_words() -> None:
    decision = decide(facts(job=job(SlurmState.PENDING, reason="Priority")))
    assert decision.state is RunState.PENDING
    assert "higher priority" in decision.message
    assert not decision.never_starts


def test_a_job_that_never_starts_says_so() -> None:
    decision = decide(facts(job=job(SlurmState.PENDING, reason="PartitionNodeLimit")))
    assert decision.never_starts
    assert "will not start" in decision.message
    assert decision.next_step


def test_being_cancelled() -> None:
    running = decide(facts(job=job(SlurmState.RUNNING), cancelled=NOW, attempt=attempt(events=DRIVING)))
    assert (running.state, running.message) == (RunState.RUNNING, "The run is being cancelled.")


# Over, without an outcome


@pytest.mark.parametrize(
    ("state", "failure"),
    [
        (SlurmState.TIMEOUT, FailureClass.TIME_LIMIT),
        (SlurmState.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY),
        (SlurmState.NODE_FAIL, FailureClass.NODE_FAILED),
        (SlurmState.PREEMPTED, FailureClass.PREEMPTED),
        (SlurmState.FAILED, FailureClass.UNKNOWN),
    ],
)
def test_slurm_says_why(state: SlurmState, failure: FailureClass) -> None:
    decision = decide(facts(job=job(state, exit_code=3), log_tail=["srun: error"]))
    assert (decision.state, decision.failure_class) == (RunState.FAILED, failure)
    assert decision.message
    assert decision.next_step
    assert decision.evidence == ["srun: error"]


def test_a_failed_node_says_why_where_slurm_does_not() -> None:
    nodes = (
        {"node": "n2", "role": "worker", "state": "failed", "failure_class": "storage", "message": "full"},
        {"node": "n1", "role": "head", "state": "failed", "failure_class": "environment", "message": "no python"},
    )
    decision = decide(facts(job=job(SlurmState.FAILED, exit_code=78), attempt=attempt(nodes=nodes)))
    assert decision.failure_class is FailureClass.ENVIRONMENT
    assert decision.message == "Node n1: no python"
    killed = decide(facts(job=job(SlurmState.TIMEOUT), attempt=attempt(nodes=nodes)))
    assert killed.failure_class is FailureClass.TIME_LIMIT


def test_refused_after_it_was_accepted() -> None:
    decision = decide(facts(job=job(SlurmState.FAILED, reason="BadConstraints", exit_code=0, signal=1)))
    assert decision.failure_class is FailureClass.SLURM_REFUSED


def test_the_outcome_of_a_success_may_be_late() -> None:
    just = decide(facts(job=job(SlurmState.COMPLETED, ended=NOW - 5)))
    assert just.state is RunState.RUNNING
    long_ago = decide(facts(job=job(SlurmState.COMPLETED, ended=NOW - 500)))
    assert long_ago.state is RunState.FAILED
    assert "left no outcome" in long_ago.message


@pytest.mark.parametrize("cancelled", [None, NOW])
def test_cancelled_in_slurm_or_by_us(cancelled: float | None) -> None:
    decision = decide(facts(job=job(SlurmState.CANCELLED), cancelled=cancelled))
    assert (decision.state, decision.failure_class) == (RunState.CANCELLED, FailureClass.CANCELLED)


def test_cancelled_by_us_with_any_end() -> None:
    assert decide(facts(job=job(SlurmState.FAILED), cancelled=NOW)).state is RunState.CANCELLED


# Slurm does not know, or does not answer


def test_unknown_to_slurm() -> None:
    assert decide(facts(attempt=attempt(events=DRIVING, heartbeat=NOW - 500))).state is RunState.FAILED
    alive = decide(facts(attempt=attempt(events=DRIVING, heartbeat=NOW - 5)))
    assert alive.state is RunState.RUNNING
    assert alive.warnings
    assert decide(facts(cancelled=NOW)).state is RunState.CANCELLED


def test_slurm_does_not_answer() -> None:
    down = "Slurm's controller does not answer: x.\nTry again."
    unknown = decide(facts(query_error=down))
    assert unknown.state is RunState.UNKNOWN
    assert unknown.warnings
    running = decide(facts(query_error=down, attempt=attempt(events=DRIVING, heartbeat=NOW - 5)))
    assert running.state is RunState.RUNNING
    done = decide(facts(query_error=down, attempt=attempt(outcome=outcome("completed"))))
    assert done.state is RunState.COMPLETED


def test_never_submitted() -> None:
    decision = decide(facts(job_id=None))
    assert decision.state is RunState.FAILED
    assert "never submitted" in decision.message


# Without Slurm


def test_a_local_process_that_died() -> None:
    decision = decide(facts(is_local=True, alive=False, log_tail=["Killed"]))
    assert (decision.state, decision.failure_class) == (RunState.FAILED, FailureClass.UNKNOWN)
    assert decision.evidence == ["Killed"]
    nodes = ({"node": "here", "state": "failed", "failure_class": "environment", "message": "no python"},)
    decision = decide(facts(is_local=True, alive=False, attempt=attempt(nodes=nodes)))
    assert decision.failure_class is FailureClass.ENVIRONMENT
    assert decide(facts(is_local=True, alive=False, cancelled=NOW)).state is RunState.CANCELLED


def test_a_local_run_of_another_machine() -> None:
    elsewhere = decide(facts(is_local=True, alive=None, host="laptop"))
    assert elsewhere.state is RunState.UNKNOWN
    assert "laptop" in elsewhere.next_step
    beating = decide(facts(is_local=True, alive=None, attempt=attempt(events=DRIVING, heartbeat=NOW)))
    assert beating.state is RunState.RUNNING


def test_every_slurm_state_gives_a_state() -> None:
    for state in SlurmState:
        for marked in (None, NOW):
            decision = decide(facts(job=job(state), cancelled=marked))
            assert isinstance(decision.state, RunState)
            assert decision.to_json()["state"] == decision.state
