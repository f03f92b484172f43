"""Which task is to blame for the death of a worker: the rule that all back ends share."""

from __future__ import annotations

import pytest

from curator_slurm.executors import Task
from curator_slurm.executors.run.blame import (
    START_UP_DEATHS,
    RerunDecision,
    check_start_up,
    deaths_after,
    decide_rerun,
    give_up,
    identity_of,
)
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, StageError, WorkerLostError

FAIL, SKIP = FailurePolicy(), FailurePolicy(OnTaskError.SKIP)


def decisions(tasks: int, policy: FailurePolicy = FAIL) -> list[RerunDecision]:
    """After each death of a worker that had been given nothing but these tasks, until they are not whole any more."""
    found: list[RerunDecision] = []
    deaths = 0
    while not found or found[-1] is RerunDecision.RERUN:
        deaths = deaths_after(tasks, deaths, alone=True)
        found.append(decide_rerun(tasks, deaths, policy))
    return found


@pytest.mark.parametrize("tasks", [2, 512])
def test_a_batch_runs_once_more_as_a_whole_before_it_is_divided(tasks: int) -> None:
    assert decisions(tasks) == [RerunDecision.RERUN, RerunDecision.DIVIDE]


@pytest.mark.parametrize(("retries", "deaths"), [(0, 3), (2, 3), (5, 6)])
def test_a_task_has_failed_at_the_third_death_or_later_if_it_is_to_be_tried_more_often(
    retries: int, deaths: int
) -> None:
    policy = FailurePolicy(task_retries=retries)
    assert decisions(1, policy) == [RerunDecision.RERUN] * (deaths - 1) + [RerunDecision.GIVE_UP]


def test_a_task_beside_others_is_not_charged_and_a_batch_is() -> None:
    assert deaths_after(1, 0, alone=False) == 0
    assert deaths_after(1, 2, alone=True) == 3
    assert deaths_after(3, 0, alone=False) == deaths_after(3, 0, alone=True) == 1


def test_what_is_given_up_ends_the_run_or_is_recorded() -> None:
    task = Task("numbers", 7)
    task.task_id = "0_7"
    task._metadata["source_files"] = ["/data/in.jsonl"]
    with pytest.raises(StageError, match=r"'deadly' failed in process_batch of task 0_7: WorkerDied: .* died 3 times"):
        give_up("deadly", FAIL, identity_of(task), 3)
    report = give_up("deadly", SKIP, identity_of(task), 3, "signal 9")
    (record,) = report.failures
    assert (record.stage, record.task_id, record.attempt, record.traceback) == ("deadly", "0_7", 3, "signal 9")
    assert record.file == "/data/in.jsonl"
    assert (report.tasks_in, report.tasks_out, report.items_failed) == (1, 0, 1)


def test_the_third_death_in_a_row_at_start_up_ends_the_run() -> None:
    assert START_UP_DEATHS == 3
    check_start_up("model", 2)
    with pytest.raises(WorkerLostError, match="workers of stage 'model' died 3 times in a row while starting: exit 3"):
        check_start_up("model", 3, "exit 3")
