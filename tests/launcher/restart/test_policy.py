"""The policy of restarts: every case of it, without files, clocks or Slurm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from curator_slurm.launcher.failure_classes import FailureClass
from curator_slurm.launcher.restart.policy import (
    LONGEST_BACKOFF_S,
    History,
    Restart,
    Rules,
    Stop,
    decide,
    decide_for_all,
    exhausted,
    rules_of,
)
from curator_slurm.launcher.spec.restart_section import MAX_RESTARTS, RESTARTABLE, Mechanism, RestartSpec

SPEC = RestartSpec()
RULES = rules_of(SPEC, Mechanism.REQUEUE, "1000M")
BY_DEFAULT = {each for each in RESTARTABLE if each is not FailureClass.STORAGE}
PREEMPTED, OOM = FailureClass.PREEMPTED, FailureClass.OUT_OF_MEMORY


def rules(mem_per_node: str | None = "1000M", mechanism: Mechanism = Mechanism.RESUBMIT, **section: Any) -> Rules:
    return rules_of(RestartSpec.model_validate(section), mechanism, mem_per_node)


@pytest.mark.parametrize("ending", [None, *FailureClass])
def test_by_default_what_the_application_is_not_to_blame_for(ending: FailureClass | None) -> None:
    expected = Restart() if ending in BY_DEFAULT else Stop()
    assert decide(ending, History(), RULES) == expected


@pytest.mark.parametrize("ending", RESTARTABLE)
@pytest.mark.parametrize("wanted", RESTARTABLE)
def test_only_what_was_asked_for(wanted: FailureClass, ending: FailureClass) -> None:
    assert isinstance(decide(ending, History(), rules(on=[wanted])), Restart) is (ending is wanted)


@pytest.mark.parametrize("ending", FailureClass)
def test_off_is_off(ending: FailureClass) -> None:
    memory = {"mem_per_node": "x2", "max": "1T"}
    assert decide(ending, History(), rules(mechanism=Mechanism.OFF, on_out_of_memory=memory)) == Stop()


def history_of(*finished: bool) -> History:
    """After attempts of which each has finished something, or nothing."""
    idle = 0
    for each in finished:
        idle = 0 if each else idle + 1
    return History(len(finished) - 1, idle)


@pytest.mark.parametrize("most", [0, 1, 3, 7])
def test_what_dies_at_birth_is_restarted_so_often(most: int) -> None:
    limits = rules(max_without_progress=most)
    restarts = 0
    while isinstance(decide(PREEMPTED, history_of(*[False] * (restarts + 1)), limits), Restart):
        restarts += 1
    assert restarts == most
    (stop,) = {decide(PREEMPTED, history_of(*[False] * (restarts + 1)), limits)}
    assert isinstance(stop, Stop)
    assert "restart.max_without_progress" in stop.reason
    if most:
        assert f"{most} restart" in stop.reason


def test_what_advances_may_be_preempted_a_hundred_times() -> None:
    limits = rules(max_restarts=200)
    for number in range(1, 101):
        assert decide(PREEMPTED, history_of(*[True] * number), limits) == Restart()


def test_progress_between_idle_attempts_begins_the_count_anew() -> None:
    assert isinstance(decide(PREEMPTED, history_of(False, False, False, True, False, False, False), RULES), Restart)
    assert isinstance(decide(PREEMPTED, history_of(True, False, False, False, False), RULES), Stop)


@pytest.mark.parametrize(("most", "restarts", "goes_on"), [(0, 0, False), (1, 0, True), (1, 1, False), (50, 49, True)])
def test_the_budget_of_all_restarts(most: int, restarts: int, goes_on: bool) -> None:
    decision = decide(PREEMPTED, History(restarts), rules(max_restarts=most))
    assert isinstance(decision, Restart) is goes_on
    if isinstance(decision, Stop):
        assert "restart.max_restarts" in decision.reason


def test_the_budget_has_a_default_that_a_chain_has_not() -> None:
    assert RULES.max_restarts == MAX_RESTARTS == 50
    assert rules(mechanism=Mechanism.CHAIN).max_restarts == 4
    assert rules(mechanism=Mechanism.CHAIN, max_restarts=9).max_restarts == 9


def test_waiting_doubles_while_nothing_is_finished() -> None:
    limits = rules(backoff_s=60, max_without_progress=20)
    delays = [decide(PREEMPTED, History(3, idle), limits) for idle in range(9)]
    assert [each.delay_s for each in delays if isinstance(each, Restart)] == [
        *(0, 60, 120, 240, 480, 960, 1920),
        *(LONGEST_BACKOFF_S, LONGEST_BACKOFF_S),
    ]


MEMORY = {"mem_per_node": "x1.5", "max": "2G"}


@pytest.mark.parametrize(
    ("asked", "then"),
    [("1000M", "1500M"), ("1", "2M"), ("1G", "1536M"), ("1600M", "2048M"), ("2047M", "2048M")],
)
def test_out_of_memory_restarts_with_more(asked: str, then: str) -> None:
    decision = decide(OOM, History(), rules(asked, on_out_of_memory=MEMORY))
    assert decision == Restart(0.0, {"resources.mem_per_node": then})


@pytest.mark.parametrize("key", ["mem_per_node", "resources.mem_per_node"])
def test_what_grows_may_have_its_whole_name(key):
    decision = decide(OOM, History(), rules("1G", on_out_of_memory={key: "x2"}))
    assert decision.changes == {"resources.mem_per_node": "2048M"}


@pytest.mark.parametrize(
    ("asked", "words"), [("2G", "max is 2G"), ("3G", "max is 2G"), (None, "not set"), ("0", "all of a node")]
)
def test_out_of_memory_ends_where_no_more_can_be_asked_for(asked: str | None, words: str) -> None:
    decision = decide(OOM, History(), rules(asked, on_out_of_memory=MEMORY))
    assert isinstance(decision, Stop)
    assert words in decision.reason


def test_without_a_most_it_grows_until_slurm_refuses() -> None:
    decision = decide(OOM, History(), rules("2T", on_out_of_memory={"mem_per_node": "x2"}))
    assert decision == Restart(0.0, {"resources.mem_per_node": f"{4 * 1024**2}M"})


def test_out_of_memory_without_a_rule_is_no_reason_to_restart() -> None:
    assert decide(OOM, History(), RULES) == Stop()
    assert decide(OOM, History(), rules(mechanism=Mechanism.CHAIN)) == Stop()


def test_out_of_memory_has_the_same_budget() -> None:
    limits = rules(on_out_of_memory=MEMORY)
    assert isinstance(decide(OOM, History(3, 4), limits), Stop)
    assert isinstance(decide(OOM, History(50, 0), limits), Stop)


def test_whoever_restarts_the_budget_counts() -> None:
    assert exhausted(History(3, 3), RULES) is None
    assert isinstance(exhausted(History(4, 4), RULES), Stop)
    assert isinstance(exhausted(History(50, 0), RULES), Stop)
    assert exhausted(History(50, 0), replace(RULES, max_restarts=51)) is None


def test_each_shard_goes_on_after_its_own_end() -> None:
    endings = {3: PREEMPTED, 1: FailureClass.APP_FAILED, 2: PREEMPTED, 7: OOM, 8: None}
    assert decide_for_all(endings, History(), RULES) == ([2, 3], Restart())
    more = rules(on_out_of_memory=MEMORY)
    assert decide_for_all(endings, History(), more) == ([2, 3, 7], Restart(0.0, {"resources.mem_per_node": "1500M"}))


def test_where_no_shard_goes_on_there_is_a_reason_if_there_is_one() -> None:
    endings = {1: FailureClass.APP_FAILED, 2: PREEMPTED}
    going, stop = decide_for_all(endings, History(9, 4), RULES)
    assert (going, type(stop)) == ([], Stop)
    assert isinstance(stop, Stop)
    assert "3 restarts in a row" in stop.reason
    assert decide_for_all({1: FailureClass.APP_FAILED}, History(9, 4), RULES) == ([], Stop())
    assert decide_for_all({}, History(), RULES) == ([], Stop())
