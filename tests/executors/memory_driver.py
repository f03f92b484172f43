"""A driver in a process of its own, so that its memory can be measured: `python memory_driver.py BACKEND COUNT MB`.

One task makes `COUNT` tasks, each of which grows to `MB` megabytes in the next stage and shrinks to a number in the
last. Prints a line of JSON: the driver's peak memory before the run and after it, and what went through the object
store.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from typing import Any

import ray

from curator_slurm.executors import ProcessingStage, Resources, Task
from curator_slurm.executors.backend_registry import make_executor
from curator_slurm.executors.run.store_usage import store_usage


class Source(ProcessingStage[Any, Any]):
    name = "source"
    resources = Resources(cpus=0.25)

    def __init__(self, count: int) -> None:
        self.count = count

    def process(self, task: Any) -> Any:
        return [Task("memory", number) for number in range(self.count)]

    def ray_stage_spec(self) -> dict[str, Any]:
        return {"is_fanout_stage": True}


class Grow(ProcessingStage[Any, Any]):
    name = "grow"
    resources = Resources(cpus=0.25)

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def process(self, task: Any) -> Any:
        return Task("memory", bytes(self.nbytes))

    def setup(self, worker_metadata: Any = None) -> None:
        """Makes Ray Data give it workers of its own, so that payloads leave them."""


class Shrink(ProcessingStage[Any, Any]):
    name = "shrink"
    resources = Resources(cpus=0.25)

    def process(self, task: Any) -> Any:
        return Task("memory", len(task.data))

    def setup(self, worker_metadata: Any = None) -> None:
        """See above."""


def main(backend: str, count: int, megabytes: float) -> None:
    warnings.simplefilter("ignore")
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False)
    before = store_usage() or {}
    start = peak_mb()
    nbytes = int(megabytes * (1 << 20))
    results = make_executor(backend).execute([Source(count), Grow(nbytes), Shrink()], None)
    after = store_usage() or {}
    peak = peak_mb()
    done = sum(task.data for task in results) >> 20
    spilled = (after.get("spilled_bytes", 0) - before.get("spilled_bytes", 0)) >> 20
    ray.shutdown()
    figures = {"tasks": len(results), "mb": done, "spilled_mb": spilled}
    print(json.dumps({**figures, "start_mb": start, "peak_mb": peak}))


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
