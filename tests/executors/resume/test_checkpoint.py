"""Whole runs in this process: whatever is cut off where, the outputs in the end are those of one clean run."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop import Crash, TrackedLoop

from curator_slurm.executors import DocumentBatch, EmptyTask, Pipeline, ProcessingStage, Task
from curator_slurm.executors.resume.log import CheckpointError
from curator_slurm.executors.stages import JsonlWriter, MultiWriter, ParquetWriter, TextWriter
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError
from curator_slurm.executors.tasks import FailedTask

SKIP = FailurePolicy(OnTaskError.SKIP)


@dataclass
class Numbers(ProcessingStage[Any, Any]):
    """The source: numbers from 0."""

    count: int
    name: str = "numbers"

    def process(self, task: Any) -> list[Task[int]]:
        return [Task("numbers", number) for number in range(self.count)]


@dataclass
class Fan(ProcessingStage[Any, Any]):
    """Makes `times` of one; drops what `drop` divides."""

    times: int = 1
    drop: int = 0
    batch_size: int = 1  # type: ignore[assignment]
    name: str = "fan"

    def process(self, task: Any) -> list[Task[int]] | None:
        if self.drop and task.data % self.drop == 0:
            return None
        return [Task("numbers", task.data * self.times + offset) for offset in range(self.times)]

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        return [self.process(task) for task in tasks]


@dataclass
class Sink(ProcessingStage[Any, Any]):
    """Writes a file for each task; the numbers in `fail` fail."""

    path: Path
    fail: tuple[int, ...] = ()
    marker: bool = False
    batch_size: int = 1  # type: ignore[assignment]
    name: str = "sink"

    def process(self, task: Any) -> Any:
        if task.data in self.fail:
            if self.marker:
                return FailedTask()
            raise ValueError("bad")
        (self.path / task.task_id).write_text(str(task.data))
        return task


@dataclass
class Blend(ProcessingStage[Any, Any]):
    """Sums a batch up."""

    batch_size: int = 3  # type: ignore[assignment]
    name: str = "blend"

    def process(self, task: Any) -> Any:
        raise NotImplementedError

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        return [Task("sum", sum(task.data for task in tasks))]


def outputs_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def run(root: Path, stages: list[Any], executor: TrackedLoop, tasks: list[Any] | None = None) -> list[int]:
    results = Pipeline("p", stages=stages).run(executor, tasks, checkpoint_path=root / "checkpoint")
    return sorted(task.data for task in results or [])


@settings(deadline=None, max_examples=60)
@given(
    sources=st.integers(1, 6),
    fans=st.lists(st.builds(Fan, st.integers(0, 3), st.integers(0, 3), st.integers(1, 4)), max_size=3),
    sink_batch=st.integers(1, 3),
    crashes=st.lists(st.integers(1, 25), max_size=4),
    seed=st.integers(0, 1000),
)
def test_crashes_anywhere(sources: int, fans: list[Fan], sink_batch: int, crashes: list[int], seed: int) -> None:
    stages = [Numbers(sources), *(fan.with_(name=f"fan {number}") for number, fan in enumerate(fans))]
    with tempfile.TemporaryDirectory() as folder:
        clean, resumed = Path(folder) / "clean", Path(folder) / "resumed"
        for root in (clean, resumed):
            (root / "out").mkdir(parents=True)
        run(clean, [*stages, Sink(clean / "out", batch_size=sink_batch)], TrackedLoop(seed + 99))
        last = [*stages, Sink(resumed / "out", batch_size=sink_batch)]
        for number, crash in enumerate(crashes):
            with contextlib.suppress(Crash):
                run(resumed, last, TrackedLoop(seed + number, crash))
        run(resumed, last, TrackedLoop(seed))
        assert outputs_of(resumed / "out") == outputs_of(clean / "out")
        again = TrackedLoop(seed)
        assert run(resumed, last, again) == []
        assert again.batches == 1  # the source alone: everything is finished


def test_only_the_rest_runs(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert run(tmp_path, [Numbers(4), Sink(tmp_path / "out")], TrackedLoop()) == [0, 1, 2, 3]
    more = TrackedLoop()
    assert run(tmp_path, [Numbers(6), Sink(tmp_path / "out")], more) == [4, 5]
    assert more.batches == 3


@pytest.mark.parametrize("marker", [True, False])
def test_a_partition_with_a_failed_task_runs_again(tmp_path: Path, marker: bool) -> None:
    (tmp_path / "out").mkdir()
    stages = [Numbers(3), Fan(times=2)]
    broken = Sink(tmp_path / "out", fail=(3,), marker=marker)
    assert run(tmp_path, [*stages, broken], TrackedLoop(policy=SKIP)) == [0, 1, 2, 4, 5]
    assert run(tmp_path, [*stages, Sink(tmp_path / "out")], TrackedLoop(policy=SKIP)) == [2, 3]
    assert run(tmp_path, [*stages, Sink(tmp_path / "out")], TrackedLoop(policy=SKIP)) == []


def test_blended_partitions_are_never_finished(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").mkdir()
    stages = [Numbers(3), Blend(), Sink(tmp_path / "out")]
    assert run(tmp_path, stages, TrackedLoop(1)) == [3]
    assert "stage 'blend' combined tasks of several source partitions" in caplog.text
    assert run(tmp_path, stages, TrackedLoop(2)) == [3]


def test_several_tasks_of_one_partition_may_become_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    stages = [Numbers(1), Fan(times=6), Blend(), Sink(tmp_path / "out")]
    assert run(tmp_path, stages, TrackedLoop()) != []
    assert run(tmp_path, stages, TrackedLoop()) == []


def test_a_source_alone(tmp_path: Path) -> None:
    assert run(tmp_path, [Numbers(3)], TrackedLoop()) == [0, 1, 2]
    assert run(tmp_path, [Numbers(4)], TrackedLoop()) == [3]


def test_stages_before_the_source(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    source = Fan(times=2, name="source")
    source.is_source_stage = True
    stages = [Numbers(2), source, Sink(tmp_path / "out")]
    crashing = TrackedLoop(crash_after=5)
    with pytest.raises(Crash):
        run(tmp_path, stages, crashing)
    run(tmp_path, stages, TrackedLoop())
    assert sorted(outputs_of(tmp_path / "out").values()) == ["0", "1", "2", "3"]


def test_initial_tasks_of_an_earlier_run(tmp_path: Path) -> None:
    tasks = [Task("numbers", number) for number in (5, 6)]
    for task in tasks:
        task._source_id = "old"
    (tmp_path / "out").mkdir()
    first = Fan(name="source")
    assert run(tmp_path, [first, Sink(tmp_path / "out")], TrackedLoop(), tasks) == [5, 6]
    assert run(tmp_path, [first, Sink(tmp_path / "out")], TrackedLoop(), tasks) == []


def test_said_before_the_run_starts(tmp_path: Path) -> None:
    shuffle = Fan(name="shuffle").with_(ray_stage_spec={"is_shuffle_stage": True})
    stubborn = Fan(name="stubborn")
    stubborn.is_resumable = False
    for stage, reason in ((shuffle, "is_shuffle_stage"), (stubborn, "is_resumable")):
        executor = TrackedLoop()
        with pytest.raises(CheckpointError, match=f"stage '{stage.name}'.*{reason}"):
            run(tmp_path, [Numbers(1), stage], executor)
        assert executor.batches == 0
        assert Pipeline("p", stages=[Numbers(1), stage]).run(executor)  # fine without
    with pytest.raises(CheckpointError, match="occurs twice"):
        run(tmp_path, [Numbers(1)], TrackedLoop(), [EmptyTask(), EmptyTask()])

    class Foreign:
        def execute(self, stages: list[Any], tasks: list[Any] | None) -> list[Any]:
            return []

    with pytest.raises(CheckpointError, match="Foreign does not report"):
        Pipeline("p", stages=[Numbers(1)]).run(Foreign(), checkpoint_path=tmp_path)


@dataclass
class Rows(ProcessingStage[Any, Any]):
    """Numbers as documents."""

    name: str = "rows"

    def process(self, task: Any) -> DocumentBatch:
        return DocumentBatch(task.dataset_name, pd.DataFrame({"number": [task.data]}))


@dataclass
class Collect(ProcessingStage[Any, Any]):
    """Puts the rows of a batch into one task."""

    batch_size: int = 3  # type: ignore[assignment]
    name: str = "collect"

    def process(self, task: Any) -> Any:
        raise NotImplementedError

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        rows = pd.concat([task.to_pandas() for task in tasks], ignore_index=True)
        return [DocumentBatch("rows", rows)]


@pytest.mark.parametrize("several", [False, True])
def test_batches_that_come_together_in_another_way(tmp_path: Path, several: bool) -> None:
    """Names of files that depend on the batch differ from run to run; what an interrupted run has left must go."""
    different = 0
    for seed in range(12):
        root = tmp_path / str(seed)
        writer: Any = JsonlWriter(str(root / "out"))
        if several:
            writer = MultiWriter(
                [
                    writer,
                    ParquetWriter(str(root / "parquet")),
                    TextWriter(str(root / "text"), fields=["number"]),
                ]
            )
        stages = [Numbers(1), Fan(times=8), Rows(), Collect(), writer]
        with pytest.raises(Crash):
            run_rows(root, stages, TrackedLoop(seed, crash_after=13))
        left = {path.name for path in (root / "out").glob("*")}
        run_rows(root, stages, TrackedLoop(seed + 100))
        files = list((root / "out").glob("*.jsonl"))
        different += not left <= {path.name for path in files}
        rows = sorted(json.loads(line)["number"] for path in files for line in path.read_text().splitlines())
        assert rows == list(range(8))
        if several:
            assert sorted(pd.read_parquet(root / "parquet")["number"]) == rows
            assert sorted(int(path.read_text()) for path in (root / "text").iterdir()) == rows
    assert different, "no run left what the next one did not write"


def run_rows(root: Path, stages: list[Any], executor: TrackedLoop) -> None:
    Pipeline("p", stages=stages).run(executor, checkpoint_path=root / "checkpoint")
