"""The funnel over restarts: whatever is cut off where, every stage has counted what one clean run has counted."""

from __future__ import annotations

import contextlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop import Crash, TrackedLoop

from curator_slurm.common.finished_work import COUNTED, Part, Work, distinct, work_of
from curator_slurm.executors import Pipeline, ProcessingStage, Task
from curator_slurm.executors.remarks import leave_out
from curator_slurm.executors.resume.checkpoint import checkpointing
from curator_slurm.executors.run import progress as reporter
from curator_slurm.executors.task_failures import FailurePolicy, OnTaskError

SKIP = FailurePolicy(OnTaskError.SKIP)


class Rows(Task[list[int]]):
    @property
    def num_items(self) -> int:
        return len(self.data)


@dataclass
class Source(ProcessingStage[Any, Any]):
    """Partitions of so many rows each."""

    sizes: tuple[int, ...]
    name: str = "source"
    is_source_stage = True
    is_resumable = True

    def process(self, task: Any) -> list[Rows]:
        return [Rows("rows", [100 * number + row for row in range(size)]) for number, size in enumerate(self.sizes)]


@dataclass
class Sieve(ProcessingStage[Any, Any]):
    """Drops rows that `drop` divides from the task itself, tasks without rows; leaves out rows that end in 7."""

    drop: int = 2
    batch_size: int = 1  # type: ignore[assignment]
    name: str = "sieve"

    def process(self, task: Any) -> Any:
        for row in task.data:
            if row % 10 == 7:
                leave_out(ValueError(f"row {row}"), "file", row)
        task.data = [row for row in task.data if row % 10 != 7 and row % self.drop]
        return task if task.data else None


@dataclass
class Halves(ProcessingStage[Any, Any]):
    """Two tasks of each, in batches."""

    batch_size: int = 2  # type: ignore[assignment]
    name: str = "halves"

    def process(self, task: Any) -> Any:
        raise NotImplementedError

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        middles = [len(task.data) // 2 for task in tasks]
        return [
            [Rows("rows", task.data[:m]), Rows("rows", task.data[m:])] for task, m in zip(tasks, middles, strict=True)
        ]


def counted(folder: Path, stages: list[Any], executor: TrackedLoop) -> list[dict[str, Any]]:
    """What progress.json says after a run that goes on with what the folder has."""
    progress = folder / "progress.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATOR_SLURM_PROGRESS", str(progress))
        patch.setattr(reporter, "_earlier", [])
        with contextlib.suppress(Crash), checkpointing(folder / "checkpoint", automatic=True):
            Pipeline("p", stages=stages).run(executor)
    return list(json.loads(progress.read_text())["stages"])


def figures(stages: list[dict[str, Any]]) -> list[list[Any]]:
    names = (*COUNTED, "tasks_failed", "items_failed", "kind", "expected")
    return [[stage["name"], *(stage[name] for name in names)] for stage in stages]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6).map(tuple),
    sieves=st.lists(st.builds(Sieve, st.integers(1, 4), st.integers(1, 3)), max_size=2),
    halves=st.booleans(),
    crashes=st.lists(st.integers(1, 25), max_size=4),
    seed=st.integers(0, 1000),
)
def test_nothing_is_counted_twice(
    sizes: tuple[int, ...], sieves: list[Sieve], halves: bool, crashes: list[int], seed: int
) -> None:
    middle = [sieve.with_(name=f"sieve {number}") for number, sieve in enumerate(sieves)]
    stages = [Source(sizes), *([Halves()] if halves else []), *middle]
    with tempfile.TemporaryDirectory() as folder:
        clean, resumed = Path(folder) / "clean", Path(folder) / "resumed"
        clean.mkdir()
        resumed.mkdir()
        expected = figures(counted(clean, stages, TrackedLoop(seed + 99, policy=SKIP)))
        for number, crash in enumerate(crashes):
            counted(resumed, stages, TrackedLoop(seed + number, crash, policy=SKIP))
        assert figures(counted(resumed, stages, TrackedLoop(seed, policy=SKIP))) == expected
        again = counted(resumed, stages, TrackedLoop(seed, policy=SKIP))
        assert figures(again) == expected
        for stage in again[1:]:
            kept = stage["tasks_in"] - stage["tasks_filtered"] - stage["tasks_failed"]
            assert stage["tasks_out"] == kept * (2 if stage["name"] == "halves" else 1)


def test_partitions_without_a_count_are_said_to_be_so(tmp_path: Path) -> None:
    stages = [Source((3, 3, 3)), Sieve(1)]
    counted(tmp_path, stages, TrackedLoop(1, 3))
    (log,) = (tmp_path / "checkpoint").glob("*/*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "counts"}) + "\n" for line in lines))
    counted(tmp_path, stages, TrackedLoop(1))
    before = json.loads((tmp_path / "progress.json").read_text())["before"]
    assert before["sources"] == before["uncounted"] > 0


def part(*sources: str, count: int | None = 1) -> Part:
    work = Work([[count * len(sources)] * len(COUNTED)], ["Rows"]) if count is not None else None
    return Part(frozenset(sources), work)


def test_a_log_beside_its_sum_counts_once() -> None:
    summed = [part("a", "b", "c")]
    found = work_of([[part("a"), part("b")], [part("c")], summed])
    assert (found.sources, found.uncounted, found.work.counts[0][0]) == (3, 0, 3)
    later = [part("a"), part("b"), part("x"), part("y")]  # one that has lived on
    found = work_of([later, [part("c")], summed])
    assert (found.sources, found.uncounted, found.work.counts[0][0]) == (5, 0, 5)


def test_what_cannot_be_divided_is_not_counted() -> None:
    parts = list(distinct([[part("a", "b", "c")], [part("c", "d")]]))
    assert [(sorted(each.sources), each.work is None) for each in parts] == [(["a", "b", "c"], False), (["d"], True)]
    assert work_of([[part("a", count=None), part("b")]]).uncounted == 1


@pytest.mark.parametrize("counts", [None, [], [[1, 2]], [[1, 2, 3, 4, 5, -6]], [[1, 2, 3, 4, 5, "6"]], {"a": 1}])
def test_damaged_counts_are_none(counts: Any) -> None:
    assert Work.of_json({"counts": counts, "kinds": ["Rows"]}) is None
    assert Work.of_json({"counts": [[1] * len(COUNTED)], "kinds": ["Rows"]}) == Work([[1] * len(COUNTED)], ["Rows"])
