"""Workers of the engine that nobody ends any more, because their driver is gone or has never heard of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ray_runs import wait_for_no_workers
from xenna_ray import TestRay, python_path

pytestmark = pytest.mark.ray

_STAGE_WORKER = """
from curator_slurm.executors.adapter.adapter import StageAdapter
from curator_slurm.executors.backends.xenna.worker_process import Place, Requests, XennaStage
from curator_slurm.executors.task_failures import FailurePolicy
from xenna_stages import Step

@ray.remote(num_cpus=0.5)
class StageWorker:
    def __init__(self, stage):
        threading.Thread(target=time.sleep, args=(3600,)).start()  # as those of cosmos-xenna before 0.5.9

stage = XennaStage(StageAdapter(Step("a"), FailurePolicy()), Requests("a", 0.5, 0, 1), None, None, place=Place())
worker = StageWorker.remote(stage)
"""
_MONITOR = """
from cosmos_xenna.pipelines.private import monitoring
from curator_slurm.executors.backends.xenna.engine.patches import ending_with_ray

worker = ending_with_ray(monitoring.NodeResourceMonitor).remote()
"""
_DRIVER = """
import os, sys, threading, time
import ray

ray.init(address=os.environ["RAY_ADDRESS"])
{worker}
ray.get(worker.__ray_ready__.remote())
(actor,) = ray._private.state.state.actor_table(None, job_id=ray.get_runtime_context().job_id).values()
print("pid", actor["Pid"], flush=True)
del worker  # Ray lets go of it; this is no kill
sys.stdin.read()
"""


@pytest.mark.parametrize("worker", [_STAGE_WORKER, _MONITOR], ids=["stage", "monitor"])
def test_a_worker_that_ray_lets_go_of_ends(worker: str, two_cpus: TestRay) -> None:
    command = [sys.executable, "-c", _DRIVER.replace("{worker}", worker)]
    environment = {**os.environ, **two_cpus.env, "PYTHONPATH": python_path()}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:  # fmt: skip
        assert driver.stdin is not None
        assert driver.stdout is not None
        pid = next(int(line.split()[1]) for line in driver.stdout if line.startswith("pid"))
        wait_until_gone(pid)
        driver.stdin.close()
        assert driver.wait(60) == 0


_ENDLESS = """
import pathlib, sys, time
from curator_slurm.executors import XennaExecutor
from xenna_stages import Step, numbers

class Slowly(Step):
    def process(self, task):
        pathlib.Path({began!r}).touch()
        time.sleep(3600)

stages = [Step("a", cpus=0.5), Slowly("b", cpus=0.5)]
XennaExecutor({{"resource_monitor": True}}).execute(stages, numbers(20))
"""


def test_no_worker_outlives_a_driver_that_is_killed(two_cpus: TestRay, tmp_path: Path) -> None:
    began, log = tmp_path / "began", tmp_path / "log"
    environment = {**os.environ, **two_cpus.env, "PYTHONPATH": python_path()}
    command = [sys.executable, "-c", _ENDLESS.format(began=str(began))]
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as driver:
        deadline = time.monotonic() + 120
        try:
            while not began.exists():
                assert driver.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            assert two_cpus.worker_pids()
        finally:
            driver.kill()
    wait_for_no_workers(two_cpus)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 180
    with contextlib.suppress(psutil.NoSuchProcess):
        while (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, process.cmdline()
            time.sleep(0.1)
