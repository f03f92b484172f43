"""Stages with the habits, good and bad, that tests of executors need."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from curator_slurm.executors import ProcessingStage, Resources, Task


class Number(Task[int]):
    """A task that holds a number."""


def numbers(count: int) -> list[Task[int]]:
    return [Number("numbers", value) for value in range(count)]


class Step(ProcessingStage[Any, Any]):
    """Passes tasks on and notes the size of each batch."""

    def __init__(self, name: str, batch_size: int = 1, cpus: float = 1.0, gpus: float = 0.0) -> None:
        self.name = name
        self.batch_size = batch_size
        self.resources = Resources(cpus=cpus, gpus=gpus)

    def process(self, task: Any) -> Any:
        return task

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        results: list[Any] = []
        for task in tasks:
            task._metadata.setdefault("batches", {})[self.name] = len(tasks)
            result = self.process(task)
            results.extend(result if isinstance(result, list) else [result])
        return results


class KeepEven(Step):
    def process(self, task: Any) -> Any:
        return task if task.data % 2 == 0 else None


class Twice(Step):
    def process(self, task: Any) -> Any:
        return [Number("numbers", data, _stage_perf=list(task._stage_perf)) for data in (task.data, task.data + 1000)]


class Raise(Step):
    """Fails for one number."""

    def process(self, task: Any) -> Any:
        if task.data == 7:
            raise ValueError("seven is not allowed")
        return task


class Kill(Step):
    """Kills its own worker for one number: the first time only, if it has a flag file to remember by."""

    def __init__(self, name: str, flag: Path | None, batch_size: int = 4) -> None:
        super().__init__(name, batch_size)
        self.flag = flag

    def process(self, task: Any) -> Any:
        if task.data == 7 and (self.flag is None or not self.flag.exists()):
            if self.flag is not None:
                self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return task


class Hang(Step):
    """Never ends for one number."""

    def process(self, task: Any) -> Any:
        if task.data == 7:
            time.sleep(3600)
        return task


class FailInSetup(Step):
    def setup(self, worker_metadata: Any = None) -> None:
        raise RuntimeError("the model is missing")


class FailOnNode(Step):
    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        raise RuntimeError("the disk is full")


class DieInSetup(Step):
    def setup(self, worker_metadata: Any = None) -> None:
        os._exit(3)


class Lifecycle(Step):
    """Appends a line to a file for each call of its life."""

    def __init__(self, name: str, journal: Path) -> None:
        super().__init__(name)
        self.journal = journal

    def _note(self, what: str, *details: Any) -> None:
        with self.journal.open("a") as file:
            file.write(" ".join([what, str(os.getpid()), *map(str, details)]) + "\n")

    def setup_on_node(self, node_info: Any = None, worker_metadata: Any = None) -> None:
        self._note("setup_on_node", node_info.node_id)

    def setup(self, worker_metadata: Any = None) -> None:
        self._note("setup", bool(worker_metadata.worker_id))

    def teardown(self) -> None:
        self._note("teardown")


class Environment(Step):
    """Writes what its worker sees into the task."""

    def process(self, task: Any) -> Any:
        time.sleep(0.2)
        task._metadata["pid"] = os.getpid()
        task._metadata["env"] = dict(os.environ)
        return task
