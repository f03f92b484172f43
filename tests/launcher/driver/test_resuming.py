"""The driver goes on with what earlier attempts have finished, or removes it and begins anew; nothing in between."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from run_dirs import new_run

sys.path.append(str(Path(__file__).parents[2] / "executors" / "resume"))
from loop import Crash, TrackedLoop

from curator_slurm.common.checkpoint_files import read_finished
from curator_slurm.executors import CompositeStage, Pipeline, ProcessingStage, Task
from curator_slurm.executors.resume.checkpoint import SourcesGoneError
from curator_slurm.executors.stages import JsonlWriter
from curator_slurm.launcher.driver.resuming import resuming
from curator_slurm.launcher.runs.finished_sources import count_finished
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths, RunPaths
from curator_slurm.launcher.runs.takeover import read_taken, take_over

NUMBERS = 6


class Number(Task[int]):
    def get_deterministic_id(self) -> str:
        return f"n{self.data}"


class Numbers(ProcessingStage[Any, Any]):
    name = "numbers"
    count = NUMBERS

    def process(self, task: Any) -> list[Task[int]]:
        return [Number("numbers", number) for number in range(self.count)]


class Write(ProcessingStage[Any, Any]):
    """A writer of the user's: a file for each number."""

    name = "write"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def process(self, task: Any) -> Any:
        (self.folder / f"{task.data}.txt").write_text(str(task.data))
        return task


class Vouches(Write):
    is_resumable = True


class Other(Vouches):
    name = "other"


class MadeLate(CompositeStage[Any, Any]):
    """Its writer is made when the pipeline is built, and would empty the folder then."""

    name = "made_late"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def decompose(self) -> list[Any]:
        JsonlWriter(str(self.folder), mode="overwrite")
        self.folder.mkdir(exist_ok=True)
        return [Vouches(self.folder)]


class Clears(Vouches):
    """Empties its folder when it is made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for path in folder.iterdir():
            path.unlink()
        (folder / "made").touch()


class Appends(Write):
    """One file for each worker, which no other attempt replaces."""

    def process(self, task: Any) -> Any:
        with (self.folder / "worker-1.txt").open("a") as stream:
            stream.write(f"{task.data}\n")
        return task


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    return new_run(tmp_path / "runs").paths


def attempt_with(run: RunPaths, name: str, writer: type[Write], crash_after: int | None = None) -> AttemptPaths:
    attempt = ClusterPaths(run.elements / name, run).attempt(0)
    take_over(attempt, "one")
    executor = TrackedLoop(crash_after=crash_after)

    def build() -> Pipeline:
        return Pipeline("p", stages=[Numbers(), writer(attempt.outputs)])

    with contextlib.suppress(Crash), resuming(build, executor, attempt, lambda _: None) as pipeline:
        pipeline.run(executor)
    return attempt


def files(attempt: AttemptPaths) -> dict[str, str]:
    return {path.name: path.read_text() for path in attempt.outputs.iterdir()}


EVERYTHING = {f"{number}.txt": str(number) for number in range(NUMBERS)}


@pytest.mark.parametrize("writer", [Vouches, MadeLate])
def test_it_goes_on(run: RunPaths, writer: Any) -> None:
    first = attempt_with(run, "1.0", writer, crash_after=4)
    before = count_finished(first)
    assert 0 < before < NUMBERS
    second = attempt_with(run, "2.0", writer)
    assert read_taken(second).sources_before == before
    assert files(second) == EVERYTHING
    assert count_finished(second) == NUMBERS


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (Vouches, Other, "the stages were numbers, write, and are numbers, other now"),
        (Vouches, Clears, "making the pipeline has removed what earlier attempts had staged"),
        (Write, Write, "in the outputs is not of a writer that replaces its files"),
    ],
)
def test_it_begins_anew(run: RunPaths, first: type[Write], second: type[Write], why: str) -> None:
    left = attempt_with(run, "1.0", first, crash_after=4)
    (left.outputs / "left").touch()
    rows = [{"source": source, "rows": 1} for log in read_finished(left.checkpoint) for source in log.sources]
    left.failures.write_text("".join(json.dumps(each) + "\n" for each in rows))
    attempt = attempt_with(run, "2.0", second)
    assert why in read_taken(attempt).anew
    assert files(attempt) == EVERYTHING | ({"made": ""} if second is Clears else {})
    assert not attempt.failures.exists(), "rows of partitions that run again are counted"
    assert count_finished(attempt) == NUMBERS


def test_files_to_which_workers_append_have_everything_once(run: RunPaths) -> None:
    attempt_with(run, "1.0", Appends, crash_after=4)
    attempt = attempt_with(run, "2.0", Appends)
    assert sorted(files(attempt)["worker-1.txt"].split()) == [str(number) for number in range(NUMBERS)]


def test_what_cannot_be_told_apart_has_no_log(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    first = attempt_with(run, "1.0", Vouches, crash_after=4)
    assert count_finished(first)
    monkeypatch.setattr(Numbers, "is_resumable", False)
    second = attempt_with(run, "2.0", Vouches)
    assert "not resumable" in read_taken(second).anew
    assert not second.checkpoint.exists()
    assert files(second) == EVERYTHING


def test_an_input_that_is_divided_in_another_way(run: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt_with(run, "1.0", Vouches)  # and its outputs could not be published
    monkeypatch.setattr(Numbers, "count", 1)
    with pytest.raises(SourcesGoneError, match="retry` begins anew"):
        attempt_with(run, "2.0", Vouches)
    third = attempt_with(run, "3.0", Vouches)
    assert files(third) == {"0.txt": "0"}
    assert read_taken(third).of == ""
