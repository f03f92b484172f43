"""A run that drains: what has begun ends, nothing begins, and the next run does the rest and nothing twice."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_runs import MARKS, make, wait_for_no_workers
from xenna_ray import TestRay
from xenna_stages import Number

from curator_slurm.executors import Pipeline, ProcessingStage, Resources
from curator_slurm.executors.run import drain
from curator_slurm.executors.task_failures import DrainedError

pytestmark = MARKS
COUNT = 40
_RESOURCES = Resources(cpus=0.5)


class Partitions(ProcessingStage[Any, Any]):
    """The source stage."""

    name = "partitions"
    resources = _RESOURCES
    is_source_stage = True

    def process(self, task: Any) -> list[Number]:
        return [Number("numbers", number) for number in range(COUNT)]


class Noted(ProcessingStage[Any, Any]):
    """Notes each number in a file of that name; waits while there is a file `wait`."""

    resources = _RESOURCES

    def __init__(self, name: str, folder: Path, seconds: float) -> None:
        self.name = name
        self.folder = folder
        self.seconds = seconds

    def process(self, task: Any) -> Any:
        with (self.folder / f"{self.name}-{task.data}").open("a") as stream:
            stream.write("x")
        time.sleep(self.seconds)
        while (self.folder / f"{self.name}-wait").exists():
            time.sleep(0.02)
        return task


def seen(folder: Path, stage: str) -> Counter[int]:
    """How often each number has been at a stage."""
    return Counter(
        {int(path.name.partition("-")[2]): path.stat().st_size for path in folder.glob(f"{stage}-*[0-9]")}
    )  # fmt: skip


@contextlib.contextmanager
def drained_when(folder: Path, done: int, seconds: float) -> Iterator[None]:
    """Ask for it as soon as so many numbers have come to the last stage; then there are so many seconds."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            if len(seen(folder, "write")) >= done:
                drain.request("a test", time.time() + seconds)
                return

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        drain.forget()


@pytest.mark.parametrize("backend", ["xenna", "ray_data", "ray_actor_pool"])
def test_what_has_begun_ends_and_nothing_is_done_twice(
    backend: str, two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in two_cpus.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CURATOR_SLURM_PROGRESS", str(tmp_path / "progress.json"))
    stages = [Partitions(), Noted("read", tmp_path, 0.1), Noted("write", tmp_path, 0.05)]

    def run() -> list[Any]:
        try:
            return Pipeline("p", stages=stages).run(make(backend), checkpoint_path=tmp_path / "checkpoint") or []
        finally:
            wait_for_no_workers(two_cpus)

    with drained_when(tmp_path, 3, 120.0), pytest.raises(DrainedError, match="all that had begun is finished") as ended:
        run()
    first = seen(tmp_path, "write")
    assert set(first) == set(seen(tmp_path, "read")), "something was begun, and has not ended"
    assert len(first) == ended.value.finished
    assert ended.value.left == COUNT - len(first) > 0
    assert '"state": "drained"' in (tmp_path / "progress.json").read_text()

    (tmp_path / "write-wait").touch()  # the second one cannot end what it has begun
    with drained_when(tmp_path, len(first) + 1, 0.5), pytest.raises(DrainedError, match="its time was over"):
        run()
    (tmp_path / "write-wait").unlink()
    twice = set(seen(tmp_path, "read")) - set(first)

    drain.request("a test", time.time() + 60)
    with pytest.raises(DrainedError, match="nothing begins"):
        run()
    drain.forget()
    assert len(run()) == COUNT - len(first)
    written = seen(tmp_path, "write")
    assert set(written) == set(range(COUNT))
    assert {number for number, times in written.items() if times > 1} <= twice
    assert {number for number, times in seen(tmp_path, "read").items() if times > 1} == twice


def test_a_run_that_nobody_can_resume_goes_on(
    two_cpus: TestRay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in two_cpus.env.items():
        monkeypatch.setenv(name, value)
    stages = [Partitions(), Noted("read", tmp_path, 0.0), Noted("write", tmp_path, 0.0)]
    with drained_when(tmp_path, 1, 120.0):
        assert len(Pipeline("p", stages=stages).run(make("ray_actor_pool")) or []) == COUNT
    wait_for_no_workers(two_cpus)
