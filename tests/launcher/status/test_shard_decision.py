"""The decision about one shard, and a run of one shard with it, case by case, as values."""

from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.facts import AttemptFacts, ElementFacts, RunFacts, ShardPlace
from curator_slurm.launcher.status.reports import (
    EventsReport,
    NodeReport,
    OutcomeReport,
    ProgressReport,
    StageReport,
    outcome_of,
)
from curator_slurm.launcher.status.run_decision import RunStatus, decide
from curator_slurm.launcher.status.shard_status import ShardDetail, ShardState

NOW = 1_795_500_000.0
STARTED = EventsReport(started=NOW - 50, last="the agent has started")
DRIVING = EventsReport(started=NOW - 50, last="the driver has started", driver_started=True)
LIVE = {"begun": {0: "7.0"}}


def status(element: ElementFacts | None = None, attempt: AttemptFacts | None = None, **more: Any) -> RunStatus:
    """The status of a run of one shard, job 7, of which everything was read."""
    known: dict[str, Any] = {"run_id": "20260101-000000-aaaa", "now": NOW, "total": 1, "done": {}}
    known |= {"places": {0: ShardPlace(0, "7")}, "detailed": frozenset({0})}
    known |= {"elements": {"7": element}} if element else {}
    known |= {"attempts": {0: attempt}} if attempt else {}
    return decide(RunFacts(**{**known, **more}))


def detail(of: RunStatus) -> ShardDetail:
    assert of.only is not None
    return of.only.detail


def job(state: SlurmState, **more: Any) -> ElementFacts:
    return ElementFacts(**{"state": state, "nodes": ("n1", "n2"), **more})


def left(**more: Any) -> AttemptFacts:
    return AttemptFacts(**{"name": "7.0", "count": 1, **more})


def outcome(state: str, **more: Any) -> OutcomeReport:
    return outcome_of({"state": state, "message": "as it was", "exit_code": 1, "started": 1.0, "ended": 2.0, **more})


# Time left


@pytest.mark.parametrize(
    ("eta", "left", "warns"),
    [(3600, 600, True), (600, 3600, False), (600, 595, False), (None, 60, False), (90, 0, True)],
)
def test_an_estimate_beyond_the_time_limit_is_a_warning(eta: float | None, left: float, warns: bool) -> None:
    progress = ProgressReport(stages=(StageReport(name="a", eta_s=30.0), StageReport(name="b", eta_s=eta)))
    element = job(SlurmState.RUNNING, ends_by=NOW + left)
    found = status(element, AttemptFacts(name="7.0", count=1, events=DRIVING, progress=progress), **LIVE)
    assert found.state is RunState.RUNNING
    assert [warning for warning in found.warnings if "its time limit ends it" in warning] == list(
        found.warnings if warns else []
    )
    assert bool(found.warnings) == warns


# By hand


def test_a_job_that_was_submitted_by_hand_is_an_attempt_like_any_other() -> None:
    old = job(SlurmState.FAILED, exit_code=(1, 0))
    by_hand = {"name": "9.0", "count": 2, "heartbeat": NOW - 3, "events": DRIVING}
    running = status(old, AttemptFacts(**by_hand))
    assert (running.state, running.message) == (RunState.RUNNING, "")
    assert running.only is not None
    assert running.only.job_id == "9"
    assert not detail(running).warnings
    failed = status(old, AttemptFacts(**by_hand, outcome=outcome("failed", failure_class="app_failed")))
    assert (failed.state, failed.failure_class) == (RunState.RUNNING, None), "its agent is ending"
    ended = {"outcome": outcome("failed", failure_class="app_failed"), "element_outcome": outcome("failed")}
    failed = status(old, AttemptFacts(**by_hand, **ended))
    assert (failed.state, failed.failure_class) == (RunState.FAILED, FailureClass.APP_FAILED)
    silent = status(old, AttemptFacts(**{**by_hand, "heartbeat": NOW - 900}))
    assert silent.state is RunState.FAILED
    assert "Job 9 ended without writing an outcome" in silent.message


def test_an_attempt_by_hand_of_before_a_retry_is_over() -> None:
    found = status(job(SlurmState.PENDING), AttemptFacts(name="5.0", count=1, heartbeat=NOW - 3))
    assert found.state is RunState.PENDING


# With an outcome


@pytest.mark.parametrize("element", [None, job(SlurmState.COMPLETED), job(SlurmState.COMPLETING)])
def test_what_is_done_is_done(element: ElementFacts | None) -> None:
    attempt = left(outcome=outcome("completed", outputs="/out"))
    done = status(element, attempt, done={0: NOW - 1}, outcomes=frozenset({"7"}))
    assert (done.state, detail(done).outputs, done.ended, done.started) == (RunState.COMPLETED, "/out", 2.0, 1.0)
    assert status(element, done={0: NOW - 1}, outcomes=frozenset({"7"})).ended == NOW - 1


def test_a_failure_keeps_its_class_and_evidence() -> None:
    content = outcome("failed", failure_class="app_failed", evidence=["ValueError: x"], next_step="fix it")
    found = status(job(SlurmState.FAILED), left(outcome=content))
    assert (found.state, found.failure_class) == (RunState.FAILED, FailureClass.APP_FAILED)
    assert detail(found).evidence == ("ValueError: x",)
    assert (found.open[0].next_step, detail(found).exit_code) == ("fix it", 1)
    assert found.next_step == "fix it; then submit the spec again."


def test_the_attempt_is_believed_before_its_element() -> None:
    element = outcome("failed", failure_class="node_failed")
    assert status(None, left(element_outcome=element)).failure_class is FailureClass.NODE_FAILED
    own = outcome("failed", failure_class="storage")
    assert status(None, left(outcome=own, element_outcome=element)).failure_class is FailureClass.STORAGE


def test_a_class_of_a_later_version_is_unknown() -> None:
    found = status(None, left(outcome=outcome("failed", failure_class="eaten_by_dog")))
    assert found.failure_class is FailureClass.UNKNOWN


def test_a_requeued_job_has_left_its_outcome_behind() -> None:
    old = left(outcome=outcome("failed", failure_class="preempted"))
    assert status(job(SlurmState.PENDING, reason="BeginTime"), old).state is RunState.PENDING
    assert status(job(SlurmState.RUNNING, restarts=1), old).state is RunState.STARTING
    ended = left(outcome=old.outcome, element_outcome=old.outcome)
    assert status(job(SlurmState.RUNNING, restarts=0), ended).state is RunState.FAILED


@pytest.mark.parametrize("state", [SlurmState.RUNNING, SlurmState.COMPLETING])
def test_a_run_that_has_failed_goes_on_until_its_agent_has_ended(state: SlurmState) -> None:
    failed = outcome("failed", failure_class="app_failed")
    ending = status(job(state), left(outcome=failed))
    assert (ending.state, ending.message, ending.ended) == (RunState.RUNNING, "The job is ending: as it was", None)
    (shard,) = ending.open
    assert shard.state.is_active  # `retry` would take its secrets away
    assert "cancelled" in status(job(state), left(outcome=failed), cancelled=NOW).message
    assert status(job(state), left(outcome=failed, element_outcome=failed)).state is RunState.FAILED
    assert status(job(SlurmState.FAILED), left(outcome=failed, heartbeat=NOW)).state is RunState.FAILED
    assert status(None, left(outcome=failed, heartbeat=NOW), query_error="no answer").state is RunState.RUNNING
    assert status(None, left(outcome=failed, heartbeat=NOW - 600), query_error="no answer").state is RunState.FAILED
    lives = status(job(state), left(outcome=failed, element_outcome=failed), is_local=True)
    assert lives.state is RunState.RUNNING
    assert status(None, left(outcome=failed, heartbeat=NOW), is_local=True).state is RunState.FAILED
    again = left(name="7.1", restart=1, events=DRIVING)
    assert status(job(SlurmState.RUNNING, restarts=1), again, begun={0: "7.1"}).state is RunState.RUNNING


def test_an_outcome_after_cancel_is_cancelled() -> None:
    found = status(None, left(outcome=outcome("failed", failure_class="cancelled")), cancelled=NOW)
    assert (found.state, found.failure_class) == (RunState.CANCELLED, FailureClass.CANCELLED)
    proved = status(None, left(outcome=outcome("failed", failure_class="out_of_memory")), cancelled=NOW)
    assert (proved.state, proved.failure_class) == (RunState.FAILED, FailureClass.OUT_OF_MEMORY)


def test_an_agent_killed_by_the_cancellation_is_no_lost_node() -> None:
    killed = left(outcome=outcome("failed", failure_class="node_failed", message="the agent was killed", ended=NOW))
    found = status(None, killed, cancelled=NOW - 1)
    assert (found.state, found.failure_class, found.message) == (
        RunState.CANCELLED, FailureClass.CANCELLED, "The run was cancelled.",
    )  # fmt: skip
    assert status(None, killed, cancelled=NOW + 1).failure_class is FailureClass.NODE_FAILED
    assert status(None, killed).failure_class is FailureClass.NODE_FAILED


def test_outputs_that_were_not_published() -> None:
    found = status(job(SlurmState.FAILED), left(outcome=outcome("completed")))
    assert found.state is RunState.FAILED
    assert "not published" in found.message


# Active


@pytest.mark.parametrize("is_local", [True, False])
def test_starting_and_running(is_local: bool) -> None:
    running = job(SlurmState.RUNNING)
    assert status(running, is_local=is_local).state is RunState.STARTING
    assert status(running, left(events=STARTED), is_local=is_local, **LIVE).state is RunState.STARTING
    assert status(running, left(events=DRIVING), is_local=is_local, **LIVE).state is RunState.RUNNING


def test_a_start_says_how_far_it_is() -> None:
    running = job(SlurmState.RUNNING)
    nodes = (NodeReport(node="n1", state="joined"), NodeReport(node="n2", state="starting"))
    found = status(running, left(events=STARTED, nodes=nodes), **LIVE)
    assert found.message == "1 of 2 nodes has joined the cluster."
    assert detail(found).node_reports == nodes
    failed = (NodeReport(node="n2", state="failed", message="no space"),)
    assert status(running, left(events=STARTED, nodes=failed), **LIVE).message == "Node n2 failed: no space"
    assert status(running, left(events=STARTED), **LIVE).message == "the agent has started"
    assert "no node has reported" in status(running).message


def test_progress_is_shown() -> None:
    progress = ProgressReport(
        stages=(StageReport(name="reader", tasks_in=3),), tasks_failed=2, rows_failed=5, notes=("a.md was not read",)
    )
    found = status(job(SlurmState.RUNNING), left(events=DRIVING, progress=progress), **LIVE)
    assert detail(found).progress == progress


def test_pending_says_why_in_words() -> None:
    found = status(job(SlurmState.PENDING, reason="Priority"))
    assert found.state is RunState.PENDING
    assert found.message == "Job 7 is waiting: other jobs have a higher priority (Priority)."
    assert not found.never_starts
    assert found.started is None


def test_a_job_that_never_starts_says_so() -> None:
    found = status(job(SlurmState.PENDING, reason="PartitionNodeLimit"))
    assert found.never_starts
    assert "will not start" in found.message
    assert found.next_step


def test_being_cancelled() -> None:
    running = status(job(SlurmState.RUNNING), left(events=DRIVING), cancelled=NOW, **LIVE)
    assert (running.state, running.message) == (RunState.RUNNING, "The run is being cancelled.")
    pending = status(job(SlurmState.PENDING, reason="PartitionNodeLimit"), cancelled=NOW)
    assert (pending.message, pending.next_step, pending.never_starts) == ("The run is being cancelled.", "", False)


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
    found = status(job(state, exit_code=3), left(log_tail=("srun: error",)))
    assert (found.state, found.failure_class) == (RunState.FAILED, failure)
    assert found.message
    assert found.next_step
    assert detail(found).evidence == ("srun: error",)


def test_how_a_job_ended() -> None:
    assert "exit code 3, without writing an outcome" in status(job(SlurmState.FAILED, exit_code=3)).message
    assert "ended by SIGKILL" in status(job(SlurmState.FAILED, exit_code=0, signal=9)).message
    assert "(FAILED)" in status(job(SlurmState.FAILED)).message
    assert status().message == "Job 7 ended without writing an outcome, and Slurm no longer knows it."


@pytest.mark.parametrize(
    "told", [{"exit_code": 0, "signal": 53}, {"exit_code": 0, "signal": 53, "reason": "JobLaunchFailure"}]
)
def test_a_log_that_slurm_cannot_open(told: dict[str, Any]) -> None:
    found = status(job(SlurmState.FAILED, **told), run_dir="/tmp/mine/runs/x/1")
    assert found.failure_class is FailureClass.STORAGE
    assert "could not open the job's log in /tmp/mine/runs/x/1 on node n1" in found.message
    assert "quota" in found.message
    assert "storage.runs" in found.next_step


def test_a_log_that_slurm_cannot_open_of_an_element_of_an_array() -> None:
    elements = {f"7_{index}": job(SlurmState.FAILED, reason="JobLaunchFailure", nodes=("n1",)) for index in range(2)}
    places = {index: ShardPlace(0, f"7_{index}") for index in range(2)}
    found = status(total=2, places=places, elements=elements, detailed=frozenset(), run_dir="/tmp/mine/runs/x/1")
    assert [each.failure_class for each in found.open] == [FailureClass.STORAGE] * 2
    assert "storage.runs" in found.open[1].next_step


def test_a_failed_node_says_why_where_slurm_does_not() -> None:
    nodes = (
        NodeReport(node="n2", role="worker", state="failed", failure_class=FailureClass.STORAGE, message="full"),
        NodeReport(node="n1", role="head", state="failed", failure_class=FailureClass.ENVIRONMENT, message="no python"),
    )
    found = status(job(SlurmState.FAILED, exit_code=78), left(nodes=nodes))
    assert (found.failure_class, found.message) == (FailureClass.ENVIRONMENT, "Node n1: no python")
    assert status(job(SlurmState.TIMEOUT), left(nodes=nodes)).failure_class is FailureClass.TIME_LIMIT


def test_the_log_says_why_where_nothing_else_does() -> None:
    line = "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***"
    found = status(None, left(log_tail=(line,)))
    assert found.failure_class is FailureClass.PREEMPTED
    assert "preempted" in found.message


def test_refused_after_it_was_accepted() -> None:
    found = status(job(SlurmState.FAILED, reason="BadConstraints", exit_code=0, signal=1))
    assert found.failure_class is FailureClass.SLURM_REFUSED


def test_the_outcome_of_a_success_may_be_late() -> None:
    just = status(job(SlurmState.COMPLETED, ended=NOW - 5))
    assert (just.state, just.message) == (
        RunState.RUNNING,
        "The job has just ended; its outcome is not visible here yet.",
    )
    long_ago = status(job(SlurmState.COMPLETED, ended=NOW - 500, exit_code=0))
    assert long_ago.state is RunState.FAILED
    assert "exit code 0, without writing an outcome" in long_ago.message


@pytest.mark.parametrize("cancelled", [None, NOW])
def test_cancelled_in_slurm_or_by_us(cancelled: float | None) -> None:
    found = status(job(SlurmState.CANCELLED), cancelled=cancelled)
    assert (found.state, found.failure_class) == (RunState.CANCELLED, FailureClass.CANCELLED)
    assert found.message == ("The run was cancelled." if cancelled else "The job was cancelled.")


def test_cancelled_by_us_with_any_end() -> None:
    found = status(job(SlurmState.FAILED), cancelled=NOW)
    assert (found.state, found.ended) == (RunState.CANCELLED, NOW)


# Slurm does not know, or does not answer


def test_unknown_to_slurm() -> None:
    assert status(None, left(events=DRIVING, heartbeat=NOW - 500)).state is RunState.FAILED
    alive = status(None, left(events=DRIVING, heartbeat=NOW - 5))
    assert alive.state is RunState.RUNNING
    assert alive.warnings == ["Slurm does not know job 7, but its heartbeat is recent"]
    assert status(cancelled=NOW).state is RunState.CANCELLED


def test_slurm_does_not_answer() -> None:
    down = "Slurm's controller does not answer: x.\nTry again."
    unknown = status(query_error=down)
    assert unknown.state is RunState.UNKNOWN
    assert unknown.message
    assert unknown.warnings == ["Slurm's controller does not answer: x. Shown is what the files of the run say."]
    running = status(None, left(events=DRIVING, heartbeat=NOW - 5), query_error=down)
    assert (running.state, len(running.warnings)) == (RunState.RUNNING, 1)
    assert status(query_error=down, done={0: NOW}).state is RunState.COMPLETED
    failed = left(outcome=outcome("failed", failure_class="storage"))
    assert status(None, failed, query_error=down).state is RunState.FAILED


def test_never_submitted() -> None:
    found = status(places={})
    assert (found.state, found.failure_class) == (RunState.FAILED, FailureClass.UNKNOWN)
    assert "never submitted" in found.message
    assert "retry" in found.next_step
    now = status(places={}, being_submitted=True)
    assert (now.state, now.message, now.failure_class) == (RunState.PENDING, "It is being submitted.", None)


# Without Slurm


def test_a_local_process_that_died() -> None:
    found = status(None, left(log_tail=("Killed",), heartbeat=NOW), is_local=True)
    assert (found.state, found.failure_class) == (RunState.FAILED, FailureClass.UNKNOWN)
    assert detail(found).evidence == ("Killed",)
    nodes = (NodeReport(node="here", state="failed", failure_class=FailureClass.ENVIRONMENT, message="no python"),)
    assert status(None, left(nodes=nodes), is_local=True).failure_class is FailureClass.ENVIRONMENT
    assert status(is_local=True, cancelled=NOW).state is RunState.CANCELLED


def test_a_local_run_of_another_machine() -> None:
    there = ElementFacts(SlurmState.UNKNOWN, elsewhere=True)
    elsewhere = status(there, is_local=True, host="laptop")
    assert elsewhere.state is RunState.UNKNOWN
    assert "laptop" in elsewhere.next_step
    alive = ElementFacts(SlurmState.RUNNING, elsewhere=True)
    beating = status(alive, left(events=DRIVING), is_local=True, host="laptop", **LIVE)
    assert beating.state is RunState.RUNNING
    assert "laptop" in beating.warnings[0]


def test_every_slurm_state_gives_a_state() -> None:
    for state in SlurmState:
        for marked in (None, NOW):
            found = status(job(state), cancelled=marked)
            assert isinstance(found.state, RunState)
            assert found.only is not None
            assert isinstance(found.only.state, ShardState)


def test_a_job_that_its_workers_cancelled_had_lost_its_head() -> None:
    """They could not leave the reason: storage took no writes."""
    cancelled = job(SlurmState.CANCELLED, ended=NOW)
    lost = status(cancelled, left(heartbeat=NOW - 110))
    assert (lost.state, lost.failure_class) == (RunState.FAILED, FailureClass.NODE_FAILED)
    assert "110 s after the last heartbeat" in lost.message
    by_user = {"cancelled": NOW - 5}
    assert status(cancelled, left(heartbeat=NOW - 110), **by_user).failure_class is FailureClass.CANCELLED
    assert status(cancelled, left(heartbeat=NOW - 5)).failure_class is FailureClass.CANCELLED
    assert status(cancelled, left()).failure_class is FailureClass.CANCELLED
    told = outcome("cancelled", failure_class="cancelled")
    assert status(cancelled, left(heartbeat=NOW - 110, element_outcome=told)).state is RunState.CANCELLED


@pytest.mark.parametrize(
    ("ended", "cancelled", "failure"),
    [
        ({"exit_code": 0, "signal": 9, "reason": "JobLaunchFailure"}, None, FailureClass.NODE_FAILED),
        ({"reason": "JobLaunchFailure"}, None, FailureClass.NODE_FAILED),
        (
            {"exit_code": 143, "signal": 0, "reason": "NonZeroExitCode"},
            None,
            FailureClass.CANCELLED,
        ),  # the step was cancelled, by a user
        ({"exit_code": 0, "signal": 9}, NOW - 9, FailureClass.CANCELLED),
        ({"exit_code": None}, None, FailureClass.CANCELLED),
    ],
)
def test_agents_that_were_told_to_end_because_their_batch_script_was_killed(
    ended: dict[str, Any], cancelled: float | None, failure: FailureClass
) -> None:
    """They take the signal for that of a user; Slurm knows that the script did not end by itself."""
    guess = outcome("cancelled", failure_class="cancelled", provisional=True)
    found = status(job(SlurmState.FAILED, **ended), left(outcome=guess), cancelled=cancelled)
    assert found.failure_class is failure
    assert ("batch script of job 7 was killed" in found.message) is (failure is FailureClass.NODE_FAILED)
