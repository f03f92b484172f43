"""What bounds memory: a pipeline that makes far more than the object store holds. See README.md beside this file.

    python benchmarks/expansion.py                       50 GB out of 1 GB, in an object store of 2 GB
    python benchmarks/expansion.py --backends xenna ray_data --tasks 10 --store-mb 400

Names become tasks of 10 MB, each of which becomes 50 of that size; two more stages pass them on and reduce them to
their length. Each back end runs in a process and a Ray of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from typing import Any

import ray

from curator_slurm.executors import ProcessingStage, Resources, Task
from curator_slurm.executors.backend_registry import make_executor
from curator_slurm.executors.known_options import BACKENDS
from curator_slurm.executors.run.store_usage import store_usage

MB = 10**6
TASK_MB = 10
TIMES = 50


class Stage(ProcessingStage[Any, Any]):
    resources = Resources(cpus=0.25)

    def setup(self, worker_metadata: Any = None) -> None:
        """Has Ray Data give each stage workers of its own, so that payloads go through the object store."""


class Names(Stage):
    name = "names"

    def __init__(self, count: int) -> None:
        self.count = count

    def process(self, _: Any) -> Any:
        return [Task("expansion", number) for number in range(self.count)]

    def ray_stage_spec(self) -> dict[str, Any]:
        return {"is_fanout_stage": True}


class Load(Stage):
    name = "load"

    def process(self, _: Any) -> Any:
        return Task("expansion", bytes(TASK_MB * MB))


class Expand(Stage):
    name = "expand"

    def process(self, task: Any) -> Any:
        return [Task("expansion", bytes(len(task.data))) for _ in range(TIMES)]

    def ray_stage_spec(self) -> dict[str, Any]:
        return {"is_fanout_stage": True}


class PassOn(Stage):
    name = "pass_on"

    def process(self, task: Any) -> Any:
        return task


class Reduce(Stage):
    name = "reduce"

    def process(self, task: Any) -> Any:
        return Task("expansion", len(task.data))


def measure(backend: str, tasks: int, store_mb: int) -> dict[str, Any]:
    """One run on a Ray of this process."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="cs-bench-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2, num_gpus=0, object_store_memory=store_mb * MB, include_dashboard=False, log_to_driver=False,
            _temp_dir=folder,
        )  # fmt: skip
        stages = [Names(tasks), Load(), Expand(), PassOn(), Reduce()]
        seen: list[dict[str, Any]] = []
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(seen, done))
        watcher.start()
        began = time.perf_counter()
        results = make_executor(backend).execute(stages, None)
        seconds = time.perf_counter() - began
        done.set()
        watcher.join()
        ray.shutdown()
    return {
        "backend": backend,
        "made_gb": sum(task.data for task in results) / 1000 / MB,
        "store_gb": store_mb / 1000,
        "seconds": seconds,
        "store_peak_gb": max(usage["used_bytes"] for usage in seen) / 1000 / MB,
        "spilled_gb": max(usage["spilled_bytes"] for usage in seen) / 1000 / MB,
        "driver_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB,
    }


def _watch(seen: list[dict[str, Any]], done: threading.Event) -> None:
    while not done.wait(0.5):
        usage = store_usage()
        if usage:
            seen.append(dict(usage))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", choices=list(BACKENDS), default=["ray_actor_pool"])
    parser.add_argument("--tasks", type=int, default=100, help=f"input tasks of {TASK_MB} MB (default: 100)")
    parser.add_argument("--store-mb", type=int, default=2000, help="size of the object store (default: 2000)")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.backends[0], options.tasks, options.store_mb)))
        return
    columns = ("backend", "made_gb", "store_gb", "seconds", "store_peak_gb", "spilled_gb", "driver_peak_mb")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for backend in options.backends:
        command = [sys.executable, __file__, "--one", "--backends", backend]
        command += [f"--tasks={options.tasks}", f"--store-mb={options.store_mb}"]
        env = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
        row = json.loads(done.stdout.strip().splitlines()[-1])
        cells = [f"{row[name]:.1f}" if isinstance(row[name], float) else str(row[name]) for name in columns]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
