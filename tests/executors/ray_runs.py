"""What tests of all back ends on a real Ray share: their names, what their engines warn of, and how to run stages."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from xenna_ray import TestRay
from xenna_stages import numbers

from curator_slurm.executors.backend_registry import make_executor
from curator_slurm.executors.tasks import assign_root_task_ids

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "xenna": ("xenna", {"execution_mode": "streaming"}),
    "xenna-batch": ("xenna", {"execution_mode": "batch"}),
    "ray_data": ("ray_data", {}),
    "ray_actor_pool": ("ray_actor_pool", {}),
}
"""Name in tests -> back end and config."""

MARKS = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::curator_slurm.executors.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
    pytest.mark.filterwarnings("ignore:`use_.*deprecated:DeprecationWarning"),  # Ray Data copies its own context
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""For `pytestmark`: what Ray and Ray Data warn of by themselves."""

Run = Callable[..., list[Any]]


def make(backend: str, **config: Any) -> Any:
    """An executor by its name in `BACKENDS`."""
    name, own = BACKENDS[backend]
    return make_executor(name, {**own, **config})


def wait_for_no_workers(cluster: TestRay) -> None:
    """A killed process takes a moment to go, on a busy machine a long one."""
    deadline = time.monotonic() + 180
    while left := cluster.worker_pids():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def new_mark() -> str:
    """The name of a variable for the environment of a process, by which those that it starts are known."""
    return f"CURATOR_SLURM_TEST_{uuid.uuid4().hex}"


def wait_for_no_marked(mark: str) -> None:
    """Until no process has this variable."""
    deadline = time.monotonic() + 180
    while left := _marked(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if mark in process.environ() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:200])
    return found


def runner(backend: str, cluster: TestRay, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs stages on numbers from 0, and checks that the run leaves no process of Xenna behind."""
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)

    def run(stages: list[Any], count: int = 20, **config: Any) -> list[Any]:
        tasks = numbers(count)
        assign_root_task_ids(tasks)
        try:
            outputs: list[Any] = make(backend, **config).execute(stages, tasks)
        finally:
            wait_for_no_workers(cluster)
        return outputs

    return run


def values(tasks: list[Any]) -> list[int]:
    return sorted(task.data for task in tasks)
