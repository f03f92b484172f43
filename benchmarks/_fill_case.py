"""One measured case of benchmarks/fill.py in a fresh process: `python _fill_case.py '{"side": "ours", ...}'`.

Runs in either project's environment. The stage is the same source text for both; it is defined in this file, so
workers get it by value. Every task carries what its stages have noted: where and when they worked on it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import warnings
from collections import deque
from dataclasses import dataclass
from typing import Any

from _fill_figures import Span, figures
from _fill_shapes import SHAPES, WARM_UP, Shape

CLASSES = {"xenna": "XennaExecutor", "ray_data": "RayDataExecutor", "ray_actor_pool": "RayActorPoolExecutor"}


def main() -> None:
    case = json.loads(sys.argv[1])
    shape = SHAPES.get(case["shape"], WARM_UP)
    began = time.time()
    if case["side"] == "floor":
        began, data = run_floor(shape)
    else:
        began, data = run_executor(case["side"], case["backend"], shape)
    seconds = time.time() - began
    if len(data) != shape.tasks or {len(notes) for notes in data} != {len(shape.stages)}:
        raise SystemExit(f"{len(data)} wrong results")
    spans = [Span(*note) for notes in data for note in notes]
    limiting = {index for index, stage in enumerate(shape.stages) if stage.gpus or not shape.gpus}
    found = figures(spans, limiting, shape.slots, began, shape.gpus)
    if os.environ.get("FILL_SPANS"):
        with open(os.environ["FILL_SPANS"], "w") as file:
            json.dump({"began": began, "ended": began + seconds, "spans": data}, file)
    print(json.dumps({"seconds": round(seconds, 2), "over_ideal": round(seconds / shape.ideal_s, 3), **found}))


def run_executor(side: str, backend: str, shape: Shape) -> tuple[float, list[list[Any]]]:
    """When it began, before the connection to Ray, and the notes of every task."""
    if side == "ours":
        from curator_slurm.executors import Pipeline, ProcessingStage, Resources, Task
        from curator_slurm.executors.backend_registry import load_executor

        executor_class: Any = load_executor(backend)
    else:
        from nemo_curator.pipeline import Pipeline
        from nemo_curator.stages.base import ProcessingStage
        from nemo_curator.stages.resources import Resources
        from nemo_curator.tasks import Task

        executor_class = getattr(importlib.import_module(f"nemo_curator.backends.{backend}"), CLASSES[backend])
    importlib.import_module("ray.data")  # imports are not measured, on either side
    from cosmos_xenna.pipelines import v1  # noqa: F401

    @dataclass
    class Notes(Task):  # type: ignore[type-arg, misc, valid-type]
        @property
        def num_items(self) -> int:
            return 1

        def validate(self) -> bool:
            return True

    class Sleep(ProcessingStage):  # type: ignore[type-arg, misc, valid-type]
        name = "sleep"
        resources = Resources(cpus=1)
        batch_size = 1

        def __init__(self, index: int, seconds: float, gpus: int, setup_s: float) -> None:
            self.name = f"sleep_{index}"
            self.index = index
            self.seconds = seconds
            self.setup_s = setup_s
            self.ready = 0.0
            self.node = ""
            if gpus:
                self.resources = Resources(cpus=1, gpus=gpus)

        def inputs(self) -> tuple[list[str], list[str]]:
            return [], []

        def outputs(self) -> tuple[list[str], list[str]]:
            return [], []

        def setup(self, worker_metadata: Any = None) -> None:  # noqa: ARG002
            import ray  # not of the module around it: with `ray` and a `.data`, ray.data would travel, and pandas

            self.node = ray.get_runtime_context().get_node_id()
            time.sleep(self.setup_s)
            self.ready = time.time()

        def process(self, task: Any) -> Any:
            begin = time.time()
            time.sleep(self.seconds)
            task.data = [*task.data, (self.index, self.node, os.getpid(), self.ready, begin, time.time())]
            return task

    pipeline = Pipeline(name="benchmark")
    for index, stage in enumerate(shape.stages):
        pipeline.add_stage(Sleep(index, stage.seconds, stage.gpus, stage.setup_s))
    tasks = [Notes(dataset_name="benchmark", data=[]) for _ in range(shape.tasks)]
    warnings.simplefilter("ignore")
    executor = executor_class()
    began = time.time()
    return began, [task.data for task in pipeline.run(executor, tasks)]


def run_floor(shape: Shape) -> tuple[float, list[list[Any]]]:
    """The same work by actors that are all started at once; each is given two calls, so that none waits for the driver.

    Nothing is counted, retried, sized or reported.
    """
    import ray

    class Worker:
        def __init__(self, stages: list[tuple[int, float]], setup_s: float) -> None:
            self.stages = stages
            time.sleep(setup_s)
            self.node = ray.get_runtime_context().get_node_id()
            self.ready = time.time()

        def work(self, notes: list[Any]) -> list[Any]:
            for index, seconds in self.stages:
                begin = time.time()
                time.sleep(seconds)
                notes = [*notes, (index, self.node, os.getpid(), self.ready, begin, time.time())]
            return notes

    began = time.time()
    ray.init(address=os.environ["RAY_ADDRESS"])
    free: list[deque[Any]] = []
    for pool in shape.floor:
        stages = [(index, shape.stages[index].seconds) for index in pool.stages]
        gpus, setup_s = (max(getattr(shape.stages[i], name) for i in pool.stages) for name in ("gpus", "setup_s"))
        remote = ray.remote(num_cpus=1, num_gpus=gpus)(Worker)
        actors = [remote.remote(stages, setup_s) for _ in range(pool.actors)]
        free.append(deque(actors * 2))
    waiting: list[deque[Any]] = [deque([[]] * shape.tasks), *[deque() for _ in shape.floor]]
    running: dict[Any, tuple[int, Any]] = {}
    while len(waiting[-1]) < shape.tasks:
        for index, actors_free in enumerate(free):
            while actors_free and waiting[index]:
                actor = actors_free.popleft()
                running[actor.work.remote(waiting[index].popleft())] = (index, actor)
        ready, _ = ray.wait(list(running), num_returns=1)
        for ref in ready:
            index, actor = running.pop(ref)
            free[index].append(actor)
            waiting[index + 1].append(ray.get(ref))
    ray.shutdown()
    return began, list(waiting[-1])


if __name__ == "__main__":
    main()
