"""What limits the speed is named rightly where it was planted: real pipelines on a Ray with eight CPUs and one GPU.

`make bottlenecks` runs all of them on all three executors, the suite two on one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import planted_bottlenecks
import pytest
import run_dirs
import sharded_runs
from xenna_ray import TestRay, python_path, start_ray

from curator_slurm.launcher.files import write_json
from curator_slurm.launcher.report.make_report import report_of
from curator_slurm.launcher.report.report_model import Limit
from curator_slurm.launcher.runs.paths import AttemptPaths, ClusterPaths
from curator_slurm.launcher.runs.registry import Run
from curator_slurm.launcher.runs.shard_records import DoneRecord

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("own_home")]
own_home = run_dirs.own_home
STORE_MB = 150


@pytest.fixture(scope="module")
def eight_cpus() -> Iterator[TestRay]:
    """More than there are: the stages sleep."""
    with start_ray(cpus=8, gpus=1, store_mb=STORE_MB) as ray:
        yield ray


def begin(cluster: TestRay, attempt: AttemptPaths, case: str, backend: str) -> subprocess.Popen[bytes]:
    attempt.root.mkdir(parents=True)
    environment = {**os.environ, **cluster.env, "PYTHONPATH": python_path()}
    environment |= {"CURATOR_SLURM_PROGRESS": str(attempt.progress), "CURATOR_SLURM_METRICS": str(attempt.metrics)}
    command = [sys.executable, planted_bottlenecks.__file__, case, backend, str(attempt.shard)]
    with attempt.driver_log.open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def limit(run: Run, cluster: TestRay, case: str, backend: str, shards: int = 1) -> Limit:
    """What a report says after the case has run, on all shards at once."""
    element = ClusterPaths(run.paths.elements / "1.0", run.paths)
    attempts = [element.attempt(shard) for shard in range(shards)]
    drivers = {attempt: begin(cluster, attempt, case, backend) for attempt in attempts}
    started, deadline = time.time(), time.monotonic() + 400
    try:
        while drivers:
            assert time.monotonic() < deadline
            for attempt in [attempt for attempt, driver in drivers.items() if driver.poll() is not None]:
                assert drivers.pop(attempt).returncode == 0, attempt.driver_log.read_text()[-3000:]
                done = DoneRecord(
                    run_id=run.run_id, shard=attempt.shard, attempt=attempt.name, started=started,
                    published=time.time(), input_files=1, input_bytes=1,
                )  # fmt: skip
                write_json(run.paths.done(attempt.shard), done.to_json())
            time.sleep(0.1)
    finally:
        for driver in drivers.values():
            driver.kill()
            driver.wait()
    found = report_of(run).limit
    print(case, backend, found)
    return found


ALL = os.environ.get("CURATOR_SLURM_BOTTLENECKS") == "all"
"""Whether `make bottlenecks` asks; the suite has the two shortest."""
BACKENDS = ("ray_actor_pool", "ray_data", "xenna")
STAGES = {"slow_stage": "filter", "few_gpus": "embed", "slow_reader": "read"}
IN_SUITE = (("slow_stage", "ray_actor_pool"), ("few_gpus", "ray_data"))


@pytest.mark.parametrize(
    ("case", "backend"), [(case, backend) for case in STAGES for backend in BACKENDS] if ALL else IN_SUITE
)
def test_the_stage_that_was_made_slow(case: str, backend: str, eight_cpus: TestRay, tmp_path: Path) -> None:
    found = limit(run_dirs.new_run(tmp_path), eight_cpus, case, backend)
    assert found.stage == STAGES[case], found


if ALL:

    def test_the_shard_that_was_made_late(eight_cpus: TestRay, tmp_path: Path) -> None:
        run = sharded_runs.sharded_run(tmp_path, 4)
        found = limit(run, eight_cpus, "late_shard", "ray_actor_pool", shards=4)
        assert found.stage is None
        assert found.reason.startswith(f"shard {planted_bottlenecks.LATE} "), found

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_the_object_store_that_was_made_small(backend: str, eight_cpus: TestRay, tmp_path: Path) -> None:
        found = limit(run_dirs.new_run(tmp_path), eight_cpus, "full_store", backend)
        assert "object store" in found.reason, found
