"""A loss starts another round, anything else ends the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError

from curator_slurm.executors import ProcessingStage, Task
from curator_slurm.executors.adapter.adapter import BatchReport
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.rounds import run_rounds
from curator_slurm.executors.run.sources import Sources
from curator_slurm.executors.task_failures import (
    FailedTaskRecord,
    FailurePolicy,
    LastNodeLostError,
    ObjectsLostError,
    OnTaskError,
    StageError,
)


class Stage(ProcessingStage[Any, Any]):
    name = "stage"

    def process(self, task: Any) -> Any:
        return task


class Cluster:
    """Nodes that go away when they are told to."""

    def __init__(self) -> None:
        self.alive = {"a", "b", "c", "d", "e"}

    def __call__(self) -> set[str]:
        return set(self.alive)

    def lose(self) -> None:
        self.alive.pop()


@pytest.fixture
def failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATOR_SLURM_FAILURES", str(tmp_path / "failures.jsonl"))
    (tmp_path / "failures.jsonl").write_text('{"of": "another pipeline"}\n')
    return tmp_path / "failures.jsonl"


def start(count: int) -> tuple[RunMonitor, Sources, Cluster]:
    policy = FailurePolicy(on_task_error=OnTaskError.SKIP)
    return RunMonitor("test", [Stage()], policy), Sources(1, [Task("n", n) for n in range(count)]), Cluster()


def one(failed: bool = False) -> BatchReport:
    record = (FailedTaskRecord("stage", "0_0", "", 1, "bad", "trace"),) if failed else ()
    return BatchReport(1, 1 - failed, 0, 1, 0.0, record, parents=() if failed else (0,), failed_inputs=(0,) * failed)


def test_only_what_is_not_finished_runs_again_and_counts_go_back(failures: Path) -> None:
    monitor, sources, cluster = start(3)
    rounds: list[list[int]] = []

    def run_round() -> None:
        rounds.append([task.data for task in sources.unfinished])
        for group in sources.unfinished_groups:
            report = one(failed=group == 1)
            monitor.record(0, report)
            made = sources.record(0, [group], report)
            if len(rounds) == 1 and group == 2:
                cluster.lose()
                raise ObjectLostError("ab", None, "")
            sources.finish([group] if made else [], made)
        monitor.check_counts(3, len(sources.outputs))

    run_rounds(run_round, monitor, sources, cluster)
    assert rounds == [[0, 1, 2], [2]]
    assert sources.outputs == [0, 2]
    assert len(monitor.failures) == 1
    assert [line[:14] for line in failures.read_text().splitlines()] == ['{"of": "anothe', '{"stage": "sta']


def test_records_of_what_runs_again_are_taken_back(failures: Path) -> None:
    monitor, sources, cluster = start(2)
    monitor.record(0, one(failed=True))
    assert len(failures.read_text().splitlines()) == 2

    def run_round() -> None:
        if len(cluster.alive) == 5:
            cluster.lose()
            raise ObjectsLostError("gone")

    run_rounds(run_round, monitor, sources, cluster)
    assert failures.read_text() == '{"of": "another pipeline"}\n'
    assert (monitor.failures, monitor.progress.stages[0].tasks_in) == ([], 0)


@pytest.mark.parametrize(
    "error",
    [StageError("stage", "process_batch", "ValueError: bad", ""), ActorDiedError(), RuntimeError("of the engine")],
)
def test_what_is_no_loss_ends_the_run(error: Exception) -> None:
    monitor, sources, cluster = start(1)
    calls = []

    def run_round() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        run_rounds(run_round, monitor, sources, cluster)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "error", [StageError("stage", "process_batch", "ValueError: bad", ""), LastNodeLostError("no node is left for it")]
)
def test_a_stage_that_fails_or_has_no_node_left_ends_the_run_though_a_node_has_gone(error: Exception) -> None:
    monitor, sources, cluster = start(1)

    def run_round() -> None:
        cluster.lose()
        raise error

    with pytest.raises(type(error)):
        run_rounds(run_round, monitor, sources, cluster)
    assert len(cluster.alive) == 4


def test_losses_without_progress_end_the_run() -> None:
    monitor, sources, cluster = start(1)

    def run_round() -> None:
        cluster.lose()
        raise RuntimeError("of the engine")

    with pytest.raises(RuntimeError):
        run_rounds(run_round, monitor, sources, cluster)
    assert len(cluster.alive) == 1


def test_a_silent_worker_is_a_loss_once_ray_calls_its_node_dead() -> None:
    monitor, sources, cluster = start(1)
    asked: list[set[str]] = []

    def alive() -> set[str]:
        asked.append(cluster())
        if len(asked) == 3:  # at first Ray still thinks that the node is there
            cluster.lose()
        return cluster()

    def run_round() -> None:
        if not asked[1:]:
            raise ActorUnavailableError("no answer", b"1" * 16)

    run_rounds(run_round, monitor, sources, alive)
    assert len(cluster.alive) == 4
