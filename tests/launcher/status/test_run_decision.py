"""The pure aggregate over shards, and what is told of shards without details, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.states import RunState, SlurmState
from curator_slurm.launcher.status.facts import AttemptFacts, ElementFacts, PublisherFacts, RunFacts, ShardPlace
from curator_slurm.launcher.status.reports import NodeReport, OutcomeReport, outcome_of
from curator_slurm.launcher.status.run_decision import decide
from curator_slurm.launcher.status.shard_status import ShardState

NOW = 10_000.0
NODE = NodeReport(node="n1", state="failed", failure_class=FailureClass.ENVIRONMENT)
PREEMPTED = "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***"
RUNNING = ElementFacts(SlurmState.RUNNING, NOW - 60)
PENDING = ElementFacts(SlurmState.PENDING, reason="Priority")


def facts(total: int = 1, done: int = 0, **more: Any) -> RunFacts:
    """A run of which the first `done` shards are done, and each shard is an element of 4711."""
    times = {shard: NOW - 1000 + 10 * shard for shard in range(done)}
    places = {shard: ShardPlace(0, f"4711_{shard}") for shard in range(total)}
    return RunFacts(**{"run_id": "r", "now": NOW, "total": total, "done": times, "places": places, **more})


def only(**more: Any) -> Any:
    """The one shard of a run of one."""
    (status,) = decide(facts(**more)).open
    return status


def outcome(failure: str | None, message: str = "it broke") -> OutcomeReport:
    return outcome_of({"state": "failed", "failure_class": failure, "message": message, "next_step": "fix it"})


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"total": 3, "done": 3}, RunState.COMPLETED),
        ({"total": 3, "done": 1}, RunState.INCOMPLETE),
        ({"total": 3}, RunState.FAILED),
        ({"total": 3, "done": 1, "cancelled": NOW}, RunState.CANCELLED),
        ({"total": 3, "done": 1, "elements": {"4711_1": PENDING}}, RunState.RUNNING),
        ({"total": 3, "elements": {"4711_1": PENDING}}, RunState.PENDING),
        ({"total": 3, "elements": {"4711_1": RUNNING}, "begun": {1: "4711_1.0"}}, RunState.RUNNING),
        ({"total": 3, "elements": {"4711_1": PENDING}, "cancelled": NOW}, RunState.PENDING),
        ({"total": 3, "query_error": "no answer"}, RunState.UNKNOWN),
        ({"total": 3, "done": 3, "query_error": "no answer"}, RunState.COMPLETED),
        ({"total": 3, "places": {}, "being_submitted": True}, RunState.PENDING),
        ({"total": 3, "places": {}}, RunState.FAILED),
    ],
)
def test_the_state_of_the_run(more: dict[str, Any], state: RunState) -> None:
    assert decide(facts(**more)).state is state


COMPLETING = ElementFacts(SlurmState.COMPLETING, NOW - 60)
OVER = ElementFacts(SlurmState.FAILED, NOW - 60, NOW - 1)
HERE = ElementFacts(SlurmState.RUNNING, NOW - 60)
FAR = ElementFacts(SlurmState.RUNNING, NOW - 60, elsewhere=True)
LOST = ElementFacts(SlurmState.UNKNOWN, NOW - 60, elsewhere=True)
WROTE = frozenset({"4711_0"})


def publisher(element_id: str = "4711_0", beat: float | None = NOW - 2) -> dict[str, Any]:
    return {"publisher": PublisherFacts(element_id, beat)}


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"elements": {"4711_0": RUNNING}}, RunState.RUNNING),
        ({"elements": {"4711_0": RUNNING}, "outcomes": WROTE}, RunState.COMPLETED),
        ({"elements": {"4711_0": COMPLETING}}, RunState.RUNNING),
        ({"elements": {"4711_0": COMPLETING}, "outcomes": WROTE}, RunState.COMPLETED),
        ({"elements": {"4711_0": OVER}, **publisher()}, RunState.COMPLETED),  # the agent died after publishing
        ({"elements": {"4711_0": PENDING}}, RunState.RUNNING),  # requeued after publishing
        # Nobody can tell: the heartbeat does.
        (publisher(), RunState.RUNNING),
        (publisher(beat=None), RunState.COMPLETED),
        (publisher(beat=NOW - 600), RunState.COMPLETED),
        ({"outcomes": WROTE, **publisher()}, RunState.COMPLETED),
        ({"query_error": "no answer", **publisher()}, RunState.RUNNING),
        ({"query_error": "no answer", "outcomes": WROTE, **publisher()}, RunState.COMPLETED),
        ({"query_error": "no answer", **publisher(beat=NOW - 600)}, RunState.COMPLETED),
        ({"elements": {"4711_0": OVER}, **publisher("4712")}, RunState.RUNNING),  # submitted by hand
        # A process of this machine, or of another one.
        ({"is_local": True, "elements": {"4711_0": HERE}, "outcomes": WROTE}, RunState.RUNNING),
        ({"is_local": True, "outcomes": WROTE, **publisher()}, RunState.COMPLETED),
        ({"is_local": True, **publisher()}, RunState.COMPLETED),
        ({"is_local": True, "elements": {"4711_0": FAR}}, RunState.RUNNING),
        ({"is_local": True, "elements": {"4711_0": FAR}, "outcomes": WROTE}, RunState.COMPLETED),
        ({"is_local": True, "elements": {"4711_0": LOST}}, RunState.COMPLETED),
        # Of many shards: the elements that have not ended.
        ({"total": 3, "done": 3, "elements": {"4711_0": OVER, "4711_1": RUNNING}}, RunState.RUNNING),
        ({"total": 3, "done": 3, "elements": {"4711_0": COMPLETING}, "outcomes": WROTE}, RunState.COMPLETED),
    ],
)
def test_a_run_goes_on_until_its_elements_have_ended(more: dict[str, Any], state: RunState) -> None:
    found = decide(facts(**{"done": 1, "detailed": frozenset({0}), **more}))
    assert found.state is state
    assert (found.ended is None, "published" in found.message) == (state is RunState.RUNNING,) * 2


def test_a_job_that_is_queued_again_after_publishing_is_named() -> None:
    found = decide(facts(done=1, detailed=frozenset({0}), elements={"4711_0": PENDING}))
    assert ("queue" in found.message, "cancel r" in found.next_step) == (True, True)


def test_who_is_active() -> None:
    assert only(elements={"4711_0": PENDING}).state is ShardState.PENDING
    assert only(elements={"4711_0": RUNNING}).state is ShardState.STARTING
    begun = only(elements={"4711_0": RUNNING}, begun={0: "4711_0.0"})
    assert (begun.state, begun.attempt, begun.started) == (ShardState.RUNNING, "4711_0.0", NOW - 60)


def test_shards_of_an_element_wait_for_each_other() -> None:
    places = {shard: ShardPlace(0, "4711_0") for shard in range(3)}
    first = decide(facts(total=3, places=places, elements={"4711_0": RUNNING}))
    assert [status.state for status in first.open] == [ShardState.STARTING, ShardState.PENDING, ShardState.PENDING]
    assert first.state is RunState.STARTING
    second = decide(facts(total=3, done=1, places=places, elements={"4711_0": RUNNING}, begun={1: "4711_0.0"}))
    assert [status.state for status in second.open] == [ShardState.RUNNING, ShardState.PENDING]
    assert second.state is RunState.RUNNING


def test_a_success_that_is_not_seen_yet_is_no_failure() -> None:
    just = ElementFacts(SlurmState.COMPLETED, NOW - 60, NOW - 2)
    assert only(elements={"4711_0": just}).state is ShardState.RUNNING
    long_ago = ElementFacts(SlurmState.COMPLETED, NOW - 600, NOW - 200)
    assert only(elements={"4711_0": long_ago}).state is ShardState.FAILED


@pytest.mark.parametrize(
    ("attempt", "element", "expected"),
    [
        (
            AttemptFacts(outcome=outcome("storage"), element_outcome=outcome("node_failed")),
            SlurmState.TIMEOUT,
            "storage",
        ),
        (
            AttemptFacts(outcome=outcome(None), element_outcome=outcome("node_failed")),
            SlurmState.TIMEOUT,
            "node_failed",
        ),
        (AttemptFacts(), SlurmState.TIMEOUT, "time_limit"),
        (AttemptFacts(), SlurmState.OUT_OF_MEMORY, "out_of_memory"),
        (AttemptFacts(nodes=(NODE,)), SlurmState.FAILED, "environment"),
        (AttemptFacts(log_tail=(PREEMPTED,)), None, "preempted"),
        (AttemptFacts(), None, "unknown"),
        (AttemptFacts(outcome=outcome("nonsense")), None, "unknown"),
    ],
)
def test_why_it_failed(attempt: AttemptFacts, element: SlurmState | None, expected: str) -> None:
    elements = {"4711_0": ElementFacts(element)} if element else {}
    status = only(elements=elements, attempts={0: attempt})
    assert (status.state, status.failure_class) == (ShardState.FAILED, expected)
    assert status.message


def test_cancelled_is_what_was_asked_for_and_not_proved_otherwise() -> None:
    asked = {"cancelled_elements": frozenset({"4711_0"})}
    assert only(**asked).state is ShardState.CANCELLED
    assert only(cancelled=NOW).state is ShardState.CANCELLED
    assert only(**asked, attempts={0: AttemptFacts(outcome=outcome("out_of_memory"))}).state is ShardState.FAILED
    assert only(attempts={0: AttemptFacts(outcome=outcome_of({"state": "cancelled"}))}).state is ShardState.CANCELLED
    assert only(elements={"4711_0": ElementFacts(SlurmState.CANCELLED)}).state is ShardState.CANCELLED


def test_what_was_never_submitted() -> None:
    assert only(places={}).state is ShardState.NOT_SUBMITTED
    assert only(places={0: ShardPlace(0, "")}).state is ShardState.NOT_SUBMITTED
    assert only(places={0: ShardPlace(0, "")}, query_error="no answer").state is ShardState.UNKNOWN


def test_without_slurms_answer_files_tell_what_they_can() -> None:
    attempts = {0: AttemptFacts(outcome=outcome("app_failed"))}
    assert only(attempts=attempts, query_error="no answer").state is ShardState.FAILED
    decision = decide(facts(total=2, done=1, query_error="no answer\nmore"))
    assert decision.counts == {ShardState.DONE: 1, ShardState.UNKNOWN: 1}
    assert decision.warnings == ["no answer. Shown is what the files of the run say."]


def test_elements_that_will_never_start_are_told() -> None:
    bad = ElementFacts(SlurmState.PENDING, reason="PartitionNodeLimit")
    decision = decide(facts(total=2, elements={"4711_0": bad, "4711_1": PENDING}))
    assert decision.never_starts
    assert "will not start" in decision.message
    waits = decide(facts(total=2, elements={"4711_0": PENDING, "4711_1": PENDING}))
    assert "higher priority" in waits.message


def test_rate_and_time_left() -> None:
    decision = decide(facts(total=200, done=100, elements={"4711_199": RUNNING}, begun={199: "4711_199.0"}))
    assert decision.rate == pytest.approx(24 / (NOW - (NOW - 1000 + 750)))
    assert decision.eta_s == pytest.approx(100 / decision.rate)
    fresh = decide(facts(total=10, done=5, submitted=NOW - 10, elements={"4711_9": RUNNING}, begun={9: "4711_9.0"}))
    assert fresh.rate is None, "what was done before the last submission tells nothing of it"


def test_failures_by_class_the_most_frequent_first() -> None:
    attempts = {shard: AttemptFacts(outcome=outcome("storage" if shard == 1 else "app_failed")) for shard in range(4)}
    decision = decide(facts(total=4, attempts=attempts))
    assert decision.classes == {FailureClass.APP_FAILED: [0, 2, 3], FailureClass.STORAGE: [1]}
    assert "retry" in decision.next_step
    assert "fix it" in decision.next_step
