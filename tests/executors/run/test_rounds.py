"""A loss starts another round, anything else ends the run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError

from curator_slurm.executors import ProcessingStage, Task
from curator_slurm.executors.adapter.batch_report import BatchReport
from curator_slurm.executors.run import placement
from curator_slurm.executors.run.monitor import RunMonitor
from curator_slurm.executors.run.placement import NODE_PATIENCE_S, ClusterNode, Need, check_fits
from curator_slurm.executors.run.rounds import run_rounds
from curator_slurm.executors.run.sources import Sources, Tally
from curator_slurm.executors.task_failures import (
    DoesNotFitError,
    FailedTaskRecord,
    FailurePolicy,
    LastNodeLostError,
    ObjectsLostError,
    OnTaskError,
    StageError,
    WorkerLostError,
)


class Stage(ProcessingStage[Any, Any]):
    name = "stage"

    def process(self, task: Any) -> Any:
        return task


class Cluster:
    """Nodes that go away when they are told to."""

    def __init__(self) -> None:
        self.alive = {"a", "b", "c", "d", "e"}
        self.dead: set[str] = set()

    def __call__(self) -> set[str]:
        return set(self.dead)

    def lose(self) -> None:
        self.dead.add(self.alive.pop())


def nowhere() -> None:
    """A round that needs no nodes."""


class Model:
    """A stage that needs a GPU, placed on nodes that come and go; `joins` is how many looks it takes."""

    need = Need(1, 1)

    def __init__(self, cluster: Cluster, joins: int = 1000) -> None:
        self._cluster = cluster
        self._joins = joins
        self.looks = 0

    def place(self) -> int:
        """How many GPU nodes there are."""
        self.looks += 1
        nodes = [ClusterNode(name, 4) for name in self._cluster.alive]
        if len(nodes) == 5 or self.looks >= self._joins:
            nodes.append(ClusterNode("gpu", 4, 1))
        check_fits("model", self.need, nodes)
        return sum(node.gpus > 0 for node in nodes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time passes only where somebody sleeps."""
    made = Clock()
    monkeypatch.setattr(placement, "time", made)
    return made


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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

    def run_round(_placed: None) -> None:
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

    run_rounds(nowhere, run_round, monitor, sources, cluster)
    assert rounds == [[0, 1, 2], [2]]
    assert sources.outputs == [0, 2]
    assert len(monitor.failures) == 1
    assert [line[:14] for line in failures.read_text().splitlines()] == ['{"of": "anothe', '{"stage": "sta']


def test_records_of_what_runs_again_are_taken_back(failures: Path) -> None:
    monitor, sources, cluster = start(2)
    monitor.record(0, one(failed=True))
    assert len(failures.read_text().splitlines()) == 2

    def run_round(_placed: None) -> None:
        if len(cluster.alive) == 5:
            cluster.lose()
            raise ObjectsLostError("gone")

    run_rounds(nowhere, run_round, monitor, sources, cluster)
    assert failures.read_text() == '{"of": "another pipeline"}\n'
    assert (monitor.failures, monitor.progress.stages[0].tasks_in) == ([], 0)


@pytest.mark.parametrize(
    "error",
    [StageError("stage", "process_batch", "ValueError: bad", ""), ActorDiedError(), RuntimeError("of the engine")],
)
def test_what_is_no_loss_ends_the_run(error: Exception) -> None:
    monitor, sources, cluster = start(1)
    calls = []

    def run_round(_placed: None) -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        run_rounds(nowhere, run_round, monitor, sources, cluster)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "error", [StageError("stage", "process_batch", "ValueError: bad", ""), LastNodeLostError("no node is left for it")]
)
def test_a_stage_that_fails_or_has_no_node_left_ends_the_run_though_a_node_has_gone(error: Exception) -> None:
    monitor, sources, cluster = start(1)

    def run_round(_placed: None) -> None:
        cluster.lose()
        raise error

    with pytest.raises(type(error)):
        run_rounds(nowhere, run_round, monitor, sources, cluster)
    assert len(cluster.alive) == 4


def test_losses_without_progress_end_the_run() -> None:
    monitor, sources, cluster = start(1)

    def run_round(_placed: None) -> None:
        cluster.lose()
        raise RuntimeError("of the engine")

    with pytest.raises(RuntimeError):
        run_rounds(nowhere, run_round, monitor, sources, cluster)
    assert len(cluster.alive) == 1


def test_a_silent_worker_is_a_loss_once_ray_calls_its_node_dead() -> None:
    monitor, sources, cluster = start(1)
    asked: list[set[str]] = []

    def dead() -> set[str]:
        asked.append(cluster())
        if len(asked) == 3:  # at first Ray still thinks that the node is there
            cluster.lose()
        return cluster()

    def run_round(_placed: None) -> None:
        if not asked[1:]:
            raise ActorUnavailableError("no answer", b"1" * 16)

    run_rounds(nowhere, run_round, monitor, sources, dead)
    assert len(cluster.alive) == 4


def test_what_fits_on_no_node_at_the_start_is_refused_at_once(clock: Clock) -> None:
    monitor, sources, cluster = start(1)
    cluster.lose()
    model = Model(cluster)
    with pytest.raises(DoesNotFitError, match="'model' needs 1 CPU and 1 GPU"):
        run_rounds(model.place, lambda _gpus: pytest.fail("began"), monitor, sources, cluster)
    assert (model.looks, clock.now) == (1, 1000)


def lose_one(cluster: Cluster) -> Callable[[int], None]:
    """The first round ends with the loss of a worker, and the node is gone."""

    def run_round(gpus: int) -> None:
        assert gpus
        if len(cluster.alive) == 5:
            cluster.lose()
            raise WorkerLostError("workers have died")

    return run_round


def test_after_a_loss_the_next_round_waits_for_a_node_that_fits(clock: Clock) -> None:
    monitor, sources, cluster = start(1)
    model = Model(cluster, joins=30)
    run_rounds(model.place, lose_one(cluster), monitor, sources, cluster)
    assert model.looks == 30
    assert 1000 < clock.now < 1000 + NODE_PATIENCE_S


def test_the_wait_ends_with_the_stage_and_what_it_needs(clock: Clock) -> None:
    monitor, sources, cluster = start(1)
    words = r"none has joined within 60 s .* 'model' needs 1 CPU and 1 GPU .* nodes: 4 CPUs and 0 GPUs, "
    with pytest.raises(LastNodeLostError, match=words):
        run_rounds(Model(cluster).place, lose_one(cluster), monitor, sources, cluster)
    assert clock.now >= 1000 + NODE_PATIENCE_S


def test_a_node_that_is_lost_while_stages_are_placed_is_a_loss_like_another(clock: Clock) -> None:
    monitor, sources, cluster = start(1)
    rounds = []

    def place() -> int:
        if len(cluster.alive) == 5:
            cluster.lose()
            raise ActorDiedError()
        return len(cluster.alive)

    run_rounds(place, rounds.append, monitor, sources, cluster)
    assert rounds == [4]


def test_a_node_that_has_joined_since_the_round_began_is_a_loss_too() -> None:
    monitor, sources, cluster = start(1)
    rounds = []

    def run_round(_placed: None) -> None:
        rounds.append(1)
        if not rounds[1:]:
            cluster.dead.add("joined")
            raise WorkerLostError("workers have died")

    run_rounds(nowhere, run_round, monitor, sources, cluster)
    assert len(rounds) == 2


def test_a_fifo_in_the_place_of_the_records_blocks_nobody(failures: Path) -> None:
    failures.unlink()
    os.mkfifo(failures)
    monitor, _, _ = start(1)
    with pytest.raises(OSError, match="FIFO"):
        monitor.restore([Tally()], [])
    with pytest.raises(OSError, match="No such device or address"):
        monitor.record(0, one(failed=True))
