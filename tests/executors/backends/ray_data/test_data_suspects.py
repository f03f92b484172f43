"""How workers on Ray Data find the task that kills them; processes and Ray are played."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from xenna_stages import Step, numbers

from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.backends.ray_data.ledger import Key, Ledger
from curator_slurm.executors.backends.ray_data.worker_process import Operator
from curator_slurm.executors.backends.ray_data.worker_process import Step as DataStep
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError, StageError
from curator_slurm.executors.tasks import assign_root_task_ids


class Death(BaseException):
    """Nothing of the worker survives it."""


class Deadly(Step):
    """Dies of number 0, and writes down every batch."""

    def __init__(self, batch_size: int, times: int = 99) -> None:
        super().__init__("deadly", batch_size)
        self.batches: list[list[int]] = []
        self.times = times

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        self.batches.append([task.data for task in tasks])
        if any(task.data == 0 for task in tasks) and self.times:
            self.times -= 1
            raise Death
        return tasks


class NodeLedger:
    """The ledger as the workers of one node see it."""

    def __init__(self, ledger: Ledger, node_id: str) -> None:
        self._ledger = ledger
        self._node_id = node_id

    def begin(self, key: Key) -> int:
        return self._ledger.begin(key, "worker", self._node_id)

    def end(self, key: Key, reports: list[BatchReport]) -> bool:
        return self._ledger.end(key, reports)


def run(
    stage: Deadly, count: int, policy: OnTaskError = OnTaskError.SKIP, lost_nodes: int = 0
) -> tuple[list[int], Any]:
    """Until a worker survives, each on a node of its own; the first nodes die with their workers."""
    tasks = numbers(count)
    assign_root_task_ids(tasks)
    alive = {str(number) for number in range(lost_nodes, 100)}
    ledger = Ledger(None, lambda: alive)
    step = DataStep(0, StageAdapter(stage, FailurePolicy(policy)))
    for number in range(100):
        worker: Any = Operator([step], NodeLedger(ledger, str(number)), is_actor=False)  # type: ignore[arg-type]
        try:
            return [task.data for task in worker._run(step, copy.deepcopy(tasks))], ledger.updates()
        except Death:
            continue
    raise AssertionError("no worker has survived")


def test_a_batch_of_its_own_runs_once_more_as_a_whole_before_it_is_divided() -> None:
    stage = Deadly(3)
    outputs, update = run(stage, 3)
    assert outputs == [1, 2]
    assert stage.batches == [[0, 1, 2]] * 2 + [[0]] * 3 + [[1], [2]]
    assert [record.attempt for _, report in update.reports for record in report.failures] == [3]


def test_batches_beside_the_deadly_one_stay_whole() -> None:
    stage = Deadly(2)
    outputs, _ = run(stage, 6)
    assert outputs == [1, 2, 3, 4, 5]
    assert {tuple(batch) for batch in stage.batches if 0 not in batch} == {(1,), (2, 3), (4, 5)}


@pytest.mark.parametrize(("count", "calls"), [(1, 3), (4, 4)])
def test_a_task_is_given_up_at_the_third_death_that_it_was_alone_at(count: int, calls: int) -> None:
    stage = Deadly(1)
    with pytest.raises(StageError, match="died 3 times at this task"):
        run(stage, count, OnTaskError.FAIL)
    assert stage.batches.count([0]) == calls


def test_a_death_with_the_node_is_not_the_tasks_fault() -> None:
    stage = Deadly(1, times=4)
    assert run(stage, 1, lost_nodes=2)[0] == [0]
    assert run(Deadly(2, times=3), 2, lost_nodes=2)[0] == [0, 1]


def test_deaths_at_start_up_are_counted_for_the_stage_until_one_worker_is_ready() -> None:
    ledger = Ledger(None, lambda: {"a", "b"})
    assert [ledger.starting(0, worker, "a") for worker in ("x", "y", "x", "y")] == [0, 0, 1, 2]
    ledger.started(0, "y")
    assert ledger.starting(0, "x", "gone") == 1
    assert ledger.starting(0, "x", "b") == 1
    assert ledger.starting(1, "x", "b") == 0


def test_actors_are_waited_for_until_they_have_left() -> None:
    alive = {"n1", "n2"}
    ledger = Ledger(None, lambda: alive)
    for worker, node in (("a", "n1"), ("b", "n2"), ("c", "n2")):
        ledger.join([0], worker, node)
    assert ledger.actors_left() == 3
    ledger.leave([0], "a")
    assert ledger.actors_left() == 2
    alive.remove("n2")  # nobody waits for what went with its node
    assert ledger.actors_left() == 0
