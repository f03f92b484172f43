"""Pipelines in which something is slow on purpose; as a program: `planted_bottlenecks.py CASE BACKEND SHARD`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from curator_slurm.executors import Pipeline, ProcessingStage, Resources, Task
from curator_slurm.executors.backend_registry import make_executor
from curator_slurm.executors.run import progress

LATE = 3
"""The shard that is."""


class Files(ProcessingStage[Any, Any]):
    """The source: so many tasks."""

    name = "files"
    resources = Resources(cpus=0.25)
    is_source_stage = True

    def __init__(self, count: int) -> None:
        self.count = count

    def process(self, task: Any) -> list[Task[Any]]:
        return [Task("d", number) for number in range(self.count)]


class Step(ProcessingStage[Any, Any]):
    """Takes so long for each task; makes so many megabytes of it, where that is said."""

    def __init__(self, name: str, seconds: float, megabytes: int = 0, resources: Resources | None = None) -> None:
        self.name, self.seconds, self.megabytes = name, seconds, megabytes
        self.resources = resources or Resources(cpus=1)

    def process(self, task: Any) -> Task[Any]:
        time.sleep(self.seconds)
        return Task("d", np.zeros(self.megabytes << 20, np.uint8) if self.megabytes else 1)


_QUICK = 0.01
_SMALL = Resources(cpus=0.25)


def _slow_stage(_: int) -> list[Any]:
    return [Files(100), Step("read", _QUICK), Step("filter", 0.5), Step("write", _QUICK)]


def _few_gpus(_: int) -> list[Any]:
    embed = Step("embed", 0.25, resources=Resources(cpus=0.25, gpus=1))
    return [Files(40), Step("read", _QUICK), embed, Step("write", 0.05)]


def _slow_reader(_: int) -> list[Any]:
    return [Files(100), Step("read", 0.5), Step("filter", 0.05), Step("write", _QUICK)]


def _late_shard(shard: int) -> list[Any]:
    count = 200 if shard == LATE else 10
    return [
        Files(count),
        Step("filter", 0.2, resources=_SMALL).with_(num_workers=1),
        Step("write", _QUICK, resources=_SMALL),
    ]


def _full_store(_: int) -> list[Any]:
    """Three tasks fill it."""
    read = Step("read", _QUICK, megabytes=40, resources=_SMALL)
    return [Files(60), read, Step("grow", _QUICK, megabytes=40, resources=_SMALL), Step("filter", 0.25)]


CASES: dict[str, Callable[[int], Sequence[Any]]] = {
    "slow_stage": _slow_stage,
    "few_gpus": _few_gpus,
    "slow_reader": _slow_reader,
    "late_shard": _late_shard,
    "full_store": _full_store,
}

if __name__ == "__main__":
    case, backend, shard = sys.argv[1:]
    progress._STORE_S = 1.0
    Pipeline(case, stages=list(CASES[case](int(shard)))).run(make_executor(backend))
