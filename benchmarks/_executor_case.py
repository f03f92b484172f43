"""One measured case in a fresh process: `python _executor_case.py '{"side": "ours", ...}'` prints one line of JSON.

Runs in either project's environment, so it imports the one that it measures and nothing else of the two. The stage is
the same source text for both; it is defined in this file, so workers get it by value.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

CLASSES = {"xenna": "XennaExecutor", "ray_data": "RayDataExecutor", "ray_actor_pool": "RayActorPoolExecutor"}
STAGES = 3


@dataclass(frozen=True)
class Case:
    """What to measure."""

    side: str
    """`ours`, `theirs` or `floor`."""
    backend: str
    tasks: int
    payload: int
    batch: int
    work_ms: float
    cpus: float


def main() -> None:
    case = Case(**json.loads(sys.argv[1]))
    measure = measure_floor if case.side == "floor" else measure_executor
    before = time.process_time()
    seconds, outputs = measure(case)
    cpu = time.process_time() - before
    if len(set(outputs)) != case.tasks or {len(data) for data in outputs} != {case.payload}:
        raise SystemExit(f"{len(outputs)} wrong results")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({"seconds": round(seconds, 3), "driver_peak_mb": peak, "driver_cpu_s": round(cpu, 3)}))


def payloads(case: Case) -> list[bytes]:
    """As many different payloads as tasks."""
    body = os.urandom(case.payload - 8)
    return [index.to_bytes(8, "big") + body for index in range(case.tasks)]


def work(milliseconds: float) -> None:
    """Keep the processor busy for so long, by this thread's own clock: a loaded machine does not shorten it."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


def measure_executor(case: Case) -> tuple[float, list[bytes]]:
    """A pipeline of three identity stages: from connecting to Ray to disconnecting with the list of results."""
    if case.side == "ours":
        from curator_slurm.executors import Pipeline, ProcessingStage, Resources, Task
        from curator_slurm.executors.backend_registry import load_executor

        executor_class: Any = load_executor(case.backend)
    else:
        import importlib

        from nemo_curator.pipeline import Pipeline
        from nemo_curator.stages.base import ProcessingStage
        from nemo_curator.stages.resources import Resources
        from nemo_curator.tasks import Task

        executor_class = getattr(
            importlib.import_module(f"nemo_curator.backends.{case.backend}"), CLASSES[case.backend]
        )
    import ray.data  # noqa: F401  imports are not measured, on either side
    from cosmos_xenna.pipelines import v1  # noqa: F401

    @dataclass
    class Bytes(Task):  # type: ignore[type-arg, misc, valid-type]
        @property
        def num_items(self) -> int:
            return 1

        def validate(self) -> bool:
            return True

    class Identity(ProcessingStage):  # type: ignore[type-arg, misc, valid-type]
        name = "identity"
        resources = Resources(cpus=0.25)
        batch_size = 1

        def __init__(self, name: str, batch: int, work_ms: float) -> None:
            self.name = name
            self.batch_size = batch
            self.work_ms = work_ms

        def inputs(self) -> tuple[list[str], list[str]]:
            return [], []

        def outputs(self) -> tuple[list[str], list[str]]:
            return [], []

        def process(self, task: Any) -> Any:
            if self.work_ms:
                work(self.work_ms)
            return task

    pipeline = Pipeline(name="benchmark")
    for index in range(STAGES):
        pipeline.add_stage(Identity(f"identity_{index}", case.batch, case.work_ms))
    tasks = [Bytes(dataset_name="benchmark", data=data) for data in payloads(case)]
    warnings.simplefilter("ignore")
    executor = executor_class()
    began = time.perf_counter()
    results = pipeline.run(executor, tasks)
    seconds = time.perf_counter() - began
    if len({task.task_id for task in results}) != case.tasks:
        raise SystemExit("task ids are not unique")
    return seconds, [task.data for task in results]


def measure_floor(case: Case) -> tuple[float, list[bytes]]:
    """The same calls with nothing around them: one actor for each stage, or as many as the CPUs hold where they work.

    Batches go from actor to actor as references; nothing is counted, retried, sized or reported.
    """
    import ray

    class Worker:
        def process_batch(self, batch: list[bytes]) -> list[bytes]:
            if case.work_ms:
                for _ in batch:
                    work(case.work_ms)
            return batch

    data = payloads(case)
    began = time.perf_counter()
    ray.init(address=os.environ["RAY_ADDRESS"])
    each = max(1, int(case.cpus / 0.25 / STAGES)) if case.work_ms else 1
    remote = ray.remote(num_cpus=0.25)(Worker)
    pools = [[remote.remote() for _ in range(each)] for _ in range(STAGES)]
    refs = []
    for index, start in enumerate(range(0, len(data), case.batch)):
        ref = ray.put(data[start : start + case.batch])
        for pool in pools:
            ref = pool[index % each].process_batch.remote(ref)
        refs.append(ref)
    results = [item for batch in ray.get(refs) for item in batch]
    results = [bytes(item) for item in results]
    ray.shutdown()
    return time.perf_counter() - began, results


if __name__ == "__main__":
    main()
