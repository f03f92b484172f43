"""Progress is filled in alike on every back end while a pipeline runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import EACH, WITH_BATCH, engines
from ray_runs import MARKS, make
from xenna_ray import TestRay, python_path, start_ray
from xenna_stages import Step, Twice, numbers

from curator_slurm.executors.run import progress

pytestmark = MARKS

TASKS = 40
"""They would take 12 seconds, which a run takes only where little is seen of it."""


class Slow(Step):
    """Takes its time until enough has been seen, so that something waits for it; on Ray Data, an actor."""

    def __init__(self, name: str, enough: Path) -> None:
        super().__init__(name, cpus=0.5)
        self.enough = enough

    def setup(self, worker_metadata: Any = None) -> None:
        self.ready = True

    def process(self, task: Any) -> Any:
        if not self.enough.exists():
            time.sleep(0.15)
        return task


@pytest.fixture(scope="module")
def cluster() -> Iterator[TestRay]:
    """With a token: the figures of the object store must come through it."""
    with start_ray(cpus=4, env={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "{folder}/token"}) as ray:
        yield ray


@engines(*EACH, of=WITH_BATCH)
def test_every_figure_is_filled_in(
    backend: str, cluster: TestRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "progress.json"
    for name, value in {**cluster.env, "CURATOR_SLURM_PROGRESS": str(path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(progress, "_WRITE_S", 0.1)
    seen: list[dict[str, Any]] = []
    enough, over = tmp_path / "enough", threading.Event()
    watcher = threading.Thread(target=_watch, args=(path, over, seen, enough))
    watcher.start()
    try:
        stages = [Twice("twice", cpus=0.5), Slow("slow", enough), Step("last", cpus=0.5)]
        stages = [stage.with_(num_workers=1) for stage in stages]
        outputs = make(backend).execute(stages, numbers(TASKS))
    finally:
        over.set()
        watcher.join()
    assert len(outputs) == 2 * TASKS

    running = [one for one in seen if one["state"] == "running"]
    begun = [one for one in running if one["stages"][0]["expected"] is not None]
    assert all(isinstance(stage["queued"], int) for one in begun for stage in one["stages"])
    assert _is_filled_in(running)

    end = json.loads(path.read_text())
    figures = [[stage[key] for key in ("tasks_in", "tasks_out", "items_in", "queued")] for stage in end["stages"]]
    twice = 2 * TASKS
    assert figures == [[TASKS, twice, TASKS, 0], [twice, twice, twice, 0], [twice, twice, twice, 0]]
    assert [stage["expected"] for stage in end["stages"]] == [TASKS, twice, twice]
    assert all(stage["workers_peak"] >= 1 and stage["workers"] == 0 for stage in end["stages"])
    store = end["object_store"]
    assert store["capacity_bytes"] > 1 << 20
    assert 0 <= store["used_bytes"] <= store["peak_bytes"] <= store["capacity_bytes"]
    assert store["spilled_bytes"] >= 0


def test_the_resource_monitor_of_xenna_comes_through_with_a_token(cluster: TestRay) -> None:
    code = (
        "from xenna_stages import Step, numbers; from curator_slurm.executors import XennaExecutor\n"
        "print('outputs', len(XennaExecutor({'resource_monitor': True}).execute([Step('a')], numbers(5))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],  # in a process of its own, which reads the token for the first time
        env={**os.environ, **cluster.env, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "outputs 5" in done.stdout, done.stderr


def _watch(path: Path, over: threading.Event, seen: list[dict[str, Any]], enough: Path) -> None:
    while not over.wait(0.1):
        if path.exists():
            seen.append(json.loads(path.read_text()))
            if _is_filled_in([one for one in seen if one["state"] == "running"]):
                enough.touch()


def _is_filled_in(running: list[dict[str, Any]]) -> bool:
    """Whether the slow stage has had workers, a queue, and a rate from which its end can be told."""
    slow = [one["stages"][1] for one in running]
    return (
        any(stage["queued"] for stage in slow)
        and any(stage["workers"] for stage in slow)
        and any(stage["rate"] and stage["eta_s"] and stage["expected_about"] for stage in slow)
    )
